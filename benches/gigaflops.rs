//! Wall time, with throughput in GFLOP/s and GB/s.

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// As [`WallTime`]; a [`Throughput::Elements`] is one floating-point operation.
pub(crate) struct Gigaflops(pub(crate) WallTime);

impl Measurement for Gigaflops {
    type Intermediate = <WallTime as Measurement>::Intermediate;
    type Value = <WallTime as Measurement>::Value;

    fn start(&self) -> Self::Intermediate {
        self.0.start()
    }

    fn end(&self, start: Self::Intermediate) -> Self::Value {
        self.0.end(start)
    }

    fn add(&self, a: &Self::Value, b: &Self::Value) -> Self::Value {
        self.0.add(a, b)
    }

    fn zero(&self) -> Self::Value {
        self.0.zero()
    }

    fn to_f64(&self, value: &Self::Value) -> f64 {
        self.0.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

/// Criterion's values are nanoseconds, so that operations divided by values are GFLOP/s.
impl ValueFormatter for Gigaflops {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        self.0.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(&self, typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (count, unit) = match *throughput {
            Throughput::Elements(count) => (count, "GFLOP/s"),
            Throughput::Bytes(count) => (count, "GB/s"),
            _ => return self.0.formatter().scale_throughputs(typical, throughput, values),
        };
        values.iter_mut().for_each(|nanoseconds| *nanoseconds = count as f64 / *nanoseconds);
        unit
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        self.0.formatter().scale_for_machines(values)
    }
}
