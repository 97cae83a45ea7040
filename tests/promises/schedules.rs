//! Schedules are the factors that Transformers gives, and stay between 0 and 1.

use crate::support::report;
use lowrank::train::{Decay, Schedule};

/// The formulas of `get_constant_schedule_with_warmup`, `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup`.
fn transformers(Schedule { warmup, total, decay }: Schedule, step: u32) -> f64 {
    let [step, warmup, total] = [step, warmup, total].map(f64::from);
    let done = (step - warmup) / (total - warmup);
    match decay {
        _ if step < warmup => step / warmup,
        Decay::Constant => 1.0,
        Decay::Linear => 1.0 - done,
        Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
    }
}

#[test]
fn factors_are_those_of_transformers() {
    let mut count = 0;
    for decay in [Decay::Constant, Decay::Linear, Decay::Cosine] {
        for (warmup, total) in
            [(0, 1), (0, 2), (1, 2), (1, 3), (7, 20), (10, 110), (0, 1000), (999, 1000), (3, u32::MAX)]
        {
            let schedule = Schedule { warmup, total, decay };
            for step in
                (0..=total.min(1100)).chain([total / 2, total - 1, total].into_iter().filter(|&step| step >= warmup))
            {
                let (got, exact) = (schedule.factor(step), transformers(schedule, step));
                // A cosine is off by 1.8e-7 at most, half of it counts; a quotient is rounded once.
                assert!((f64::from(got) - exact).abs() <= 2e-7, "{schedule:?} in step {step}: {got}, not {exact}");
                assert!((0.0..=1.0).contains(&got));
                count += 1;
            }
            assert_eq!(schedule.factor(warmup), 1.0, "{schedule:?}");
            let end = if decay == Decay::Constant { 1.0 } else { 0.0 };
            assert_eq!(schedule.factor(total), end, "{schedule:?}");
            if warmup > 0 {
                assert_eq!(schedule.factor(0), 0.0, "{schedule:?}");
            }
        }
    }
    report("peft", "schedules", count, "factors", 5000);
}

/// Behind its end a decay stays at 0, and so does one that has no step left after the warm-up.
#[test]
fn what_has_ended_stays_at_0() {
    for decay in [Decay::Linear, Decay::Cosine] {
        for (warmup, total) in [(5, 10), (5, 5), (5, 3), (0, 0)] {
            let schedule = Schedule { warmup, total, decay };
            for step in [total.max(warmup), total.max(warmup) + 1, 1000, u32::MAX] {
                assert_eq!(schedule.factor(step), 0.0, "{schedule:?} in step {step}");
            }
            if warmup > 0 {
                assert_eq!(schedule.factor(warmup - 1), (warmup - 1) as f32 / warmup as f32, "{schedule:?}");
            }
        }
        assert_eq!(Schedule { warmup: 5, total: 3, decay: Decay::Constant }.factor(u32::MAX), 1.0);
    }
}
