/* What one would write without thinking: the loops of the equations, for the comparison in scripts/check-cost.py. */
float sqrtf(float);

enum { IN = 64, OUT = 64, RANK = 8 };

void naive_forward(const float *w, const float *bias, const float *a, const float *b, const float *x, float *y, int n)
{
    for (int t = 0; t < n; t++) {
        float h[RANK];
        for (int k = 0; k < RANK; k++) {
            float sum = 0;
            for (int i = 0; i < IN; i++)
                sum += a[k * IN + i] * x[t * IN + i];
            h[k] = 0.5f * sum;
        }
        for (int o = 0; o < OUT; o++) {
            float sum = bias[o];
            for (int i = 0; i < IN; i++)
                sum += w[o * IN + i] * x[t * IN + i];
            for (int k = 0; k < RANK; k++)
                sum += b[o * RANK + k] * h[k];
            y[t * OUT + o] = sum;
        }
    }
}

void naive_adamw(float *p, const float *g, float *m, float *v, int n)
{
    const float lr = 1e-3f, decay = 1.0f - 1e-3f * 1e-2f, c1 = 0.1f, c2 = 1e-3f;
    for (int i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
        p[i] = p[i] * decay - lr / c1 * m[i] / (sqrtf(v[i]) / sqrtf(c2) + 1e-8f);
    }
}
