//! Sizes of a layer, and the factor in front of its adapter.

/// Sizes of one adapted layer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Columns of `W` and `A`.
    pub inputs: usize,
    /// Rows of `W` and `B`.
    pub outputs: usize,
    /// Rows of `A`, columns of `B`.
    pub rank: usize,
}

impl Shape {
    /// Inputs, outputs, rank.
    pub const fn new(inputs: usize, outputs: usize, rank: usize) -> Self {
        Self { inputs, outputs, rank }
    }

    /// Parameters that are trained: `r·(in + out)`, saturating.
    ///
    /// ```
    /// assert_eq!(lowrank::Shape::new(1000, 1000, 10).adapter_parameters(), 20_000);
    /// ```
    pub const fn adapter_parameters(self) -> usize {
        self.rank.saturating_mul(self.inputs.saturating_add(self.outputs))
    }

    /// Parameters that full fine-tuning would train: `in·out`, saturating.
    pub const fn full_parameters(self) -> usize {
        self.inputs.saturating_mul(self.outputs)
    }
}

/// How the factor `s` follows from the `alpha` of a training configuration.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Scale {
    /// `s = alpha/r`, as in the LoRA paper.
    Alpha(f32),
    /// `s = alpha/√r`: D. Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023;
    /// `use_rslora` in PEFT.
    RankStabilized(f32),
    /// `s` itself.
    Direct(f32),
}

impl Scale {
    /// The factor `s` for a rank, rounded once. With rank 0 there is nothing to scale: 0.
    ///
    /// ```
    /// use lowrank::Scale;
    /// assert_eq!(Scale::Alpha(8.0).factor(4), 2.0);
    /// assert_eq!(Scale::RankStabilized(8.0).factor(4), 4.0);
    /// assert_eq!(Scale::Direct(0.5).factor(4), 0.5);
    /// ```
    pub fn factor(self, rank: usize) -> f32 {
        // No branch around a division: compilers compute 0/0 and throw it away, which raises the invalid flag.
        let dividend = |alpha: f32| f64::from(if rank == 0 { 0.0 } else { alpha });
        let divisor = rank.max(1);
        match self {
            Scale::Direct(s) => s,
            Scale::Alpha(alpha) => (dividend(alpha) / divisor as f64) as f32,
            Scale::RankStabilized(alpha) => {
                // Two steps of Newton's iteration take the binary32 root to the end of binary64.
                let r = divisor as f64;
                let mut root = f64::from(crate::simd::sqrt(divisor as f32));
                for _ in 0..2 {
                    root = 0.5 * (root + r / root);
                }
                (dividend(alpha) / root) as f32
            }
        }
    }
}
