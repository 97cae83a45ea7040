//! Stack that calls take on microcontrollers: what `scripts/check-cost.py` measured on emulated boards.

/// A section per kind of figure; in it, a line per call with a number for each board and optimisation.
const FIGURES: &str = include_str!("../../firmware/cost/figures.txt");

/// Bytes of the deepest of these calls, on any board at any optimisation. Sizes of a layer do not matter there.
pub(crate) fn deepest(calls: &[&str]) -> u64 {
    let section = FIGURES.lines().skip_while(|line| !line.starts_with("stack ")).skip(1);
    let lines = section.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(' '));
    let measured = lines.filter(|(call, _)| calls.contains(call));
    measured
        .flat_map(|(_, numbers)| numbers.split_whitespace())
        .filter_map(|number| number.parse().ok())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_of_calls_is_the_largest_number_of_their_lines() {
        let all = ["forward_rows", "backward_packed", "sgd_step", "store_save"].map(|call| deepest(&[call]));
        assert!(all.iter().all(|&bytes| (100..=deepest(&["deepest"])).contains(&bytes)), "{all:?}");
        assert_eq!(
            deepest(&["forward_rows", "backward_packed", "sgd_step", "store_save"]),
            all.into_iter().max().unwrap()
        );
        // The other sections have the same names, and larger numbers.
        let names = FIGURES.lines().filter_map(|line| line.split_once(' ')).map(|(name, _)| name);
        let every: Vec<&str> = names.filter(|&name| name != "deepest").collect();
        assert_eq!(deepest(&every), deepest(&["deepest"]));
        assert_eq!((deepest(&["no_such_call"]), deepest(&[])), (0, 0));
    }
}
