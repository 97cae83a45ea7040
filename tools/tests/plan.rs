//! `lowrank plan` from outside.

mod support;

use support::Room;

/// What no layer can be trained with, no plan is made of.
#[test]
fn a_plan_refuses_what_training_refuses() {
    let room = Room::new();
    let plan = |changes: &[(&str, &str)]| {
        let mut options = vec![("--inputs", "64"), ("--outputs", "48"), ("--rank", "4"), ("--tokens", "2")];
        for change in changes {
            options.retain(|option| option.0 != change.0);
            options.push(*change);
        }
        let words = options.iter().flat_map(|(name, value)| [*name, *value]).filter(|word| !word.is_empty());
        let output = room.lowrank(&["plan"].into_iter().chain(words).collect::<Vec<_>>());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(plan(&[]).0, 0);
    let most = u32::MAX.to_string();
    for option in ["--inputs", "--outputs", "--rank", "--tokens"] {
        for (value, expected) in [
            ("0", "a layer has at least one"),
            ("4294967296", "a layer has at most 4294967295"),
            ("-1", "-1"),
            ("1.5", "expected a whole number from 1 to 4294967295"),
            ("", option),
        ] {
            let (status, error) = plan(&[(option, value)]);
            assert_eq!(status, 2, "{option} {value}");
            assert!(error.contains(expected), "{option} {value}: {error}");
        }
        assert_eq!(plan(&[(option, "1")]).0, 0, "{option}");
    }
    let all = ["--inputs", "--outputs", "--rank", "--tokens"].map(|option| (option, most.as_str()));
    let (status, error) = plan(&all);
    assert_eq!(status, 1);
    assert!(
        error.contains("the memory for inference of a layer of these sizes is more than any memory holds"),
        "{error}"
    );
    for optimizer in ["adamw", "sgd", "momentum", "in-place", "inplace"] {
        for flags in
            [&[][..], &[("--freeze-a", "")], &[("--train-bias", "")], &[("--train-bias", ""), ("--freeze-a", "")]]
        {
            let (status, error) = plan(&[&[("--optimizer", optimizer)], flags].concat());
            let refused = optimizer.starts_with("in") && flags.first().is_some_and(|flag| flag.0 == "--train-bias");
            assert_eq!(status, i32::from(refused), "{optimizer} {flags:?}: {error}");
            assert!(!refused || error.contains("`in-place` has no gradients and cannot train a bias"), "{error}");
        }
    }
}

/// The name that the option had goes on, and so does what a report says. The help shows one.
#[test]
fn an_optimizer_has_one_name() {
    let room = Room::new();
    let sizes = ["plan", "--inputs", "64", "--outputs", "48", "--rank", "4", "--optimizer"];
    for (name, reported) in
        [("adamw", "adamw"), ("in-place", "in_place"), ("inplace", "in_place"), ("in_place", "in_place")]
    {
        assert_eq!(room.json(&[&sizes[..], &[name]].concat())["optimizer"], reported, "{name}");
    }
    let help = String::from_utf8(room.lowrank(&["plan", "--help"]).stdout).unwrap();
    assert!(help.contains("in-place") && !help.contains("inplace") && !help.contains("in_place"), "{help}");
}
