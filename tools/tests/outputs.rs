//! Status and disk agree: with status 0 every output is there as a whole, with any other end nothing has changed.

#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use lowrank::Dtype;
use serde_json::json;
use support::{Peft, Room, Tensor, noise};

/// Commands that write, each to `out` and what begins so.
const WRITERS: [&[&str]; 4] = [
    &["convert", "adapter", "out", "--c-array", "out.c", "--rust", "out.rs"],
    &["convert", "packed", "out"],
    &["merge", "adapter", "base", "out"],
    &["merge", "adapter", "shards/model.safetensors.index.json", "out"],
];

/// Layers enough for a report that no pipe holds.
const LAYERS: usize = 600;

/// An adapter, packed too, and its base in one file and in two.
fn furnished() -> Room {
    let room = Room::new();
    let mut adapter = Peft::empty();
    (0..LAYERS).for_each(|layer| adapter.layer(&format!("layers.{layer}.projection"), 3, 5, 2, Dtype::F32));
    adapter.write(&room.path("adapter"));
    room.good(&["convert", "adapter", "packed"]);
    let weight = |layer| Tensor::f32(&format!("layers.{layer}.projection.weight"), &[5, 3], &noise(layer as u64, 15));
    let tensors: Vec<Tensor> = (0..LAYERS).map(weight).collect();
    std::fs::create_dir(room.path("shards")).unwrap();
    let (first, second) = tensors.split_at(LAYERS / 2);
    let mut map = BTreeMap::new();
    for (name, tensors) in [("base", &tensors[..]), ("shards/1", first), ("shards/2", second)] {
        std::fs::write(room.path(name), support::safetensors(tensors)).unwrap();
        map.extend(tensors.iter().map(|tensor| (&tensor.name, name.trim_start_matches("shards/").to_owned())));
    }
    let index = json!({ "weight_map": map }).to_string();
    std::fs::write(room.path("shards/model.safetensors.index.json"), index).unwrap();
    room
}

/// Every file below the room with its bytes; what is no regular file without.
fn contents(room: &Room) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    fn walk(directory: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
            found.insert(path.clone(), kind.is_file().then(|| std::fs::read(&path).unwrap()));
            if kind.is_dir() {
                walk(&path, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&room.path(""), &mut found);
    found
}

fn command(room: &Room, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowrank"));
    command.current_dir(room.path("")).args(arguments).stderr(Stdio::piped());
    command
}

/// The error of a command with status 1.
fn failed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {error}");
    error
}

#[test]
fn a_report_that_cannot_be_written_leaves_the_disk_alone() {
    let room = furnished();
    let before = contents(&room);
    for arguments in WRITERS {
        for json in [&[][..], &["--json"]] {
            let arguments = [arguments, json].concat();
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut closed = command(&room, &arguments);
            closed.stdout(writer);
            let mut full = command(&room, &arguments);
            full.stdout(File::options().write(true).open("/dev/full").unwrap());
            for command in [closed, full] {
                let error = failed(command);
                assert!(error.contains("the standard output cannot be written"), "{error}");
                assert!(contents(&room) == before, "{arguments:?}");
            }
        }
        room.good(arguments);
        let made: Vec<PathBuf> = contents(&room).into_keys().filter(|path| !before.contains_key(path)).collect();
        assert!(!made.is_empty());
        for path in made.iter().rev() {
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
    }
}

#[test]
fn a_path_that_json_cannot_hold_is_refused_before_anything_is_written() {
    let room = furnished();
    let before = contents(&room);
    for arguments in WRITERS {
        let mut command = command(&room, &arguments[..2]);
        command.args(arguments[2..].iter().map(|&argument| match argument {
            "out" => OsString::from_vec(b"o\xff".to_vec()),
            other => other.into(),
        }));
        let error = failed({
            command.arg("--json");
            command
        });
        assert!(error.contains(r#""o\xFF": the path is not UTF-8, and JSON cannot hold it"#), "{error}");
        assert!(contents(&room) == before, "{arguments:?}");
    }
    let mut text = command(&room, &["convert", "adapter"]);
    text.arg(OsString::from_vec(b"o\xff".to_vec()));
    assert!(text.output().unwrap().status.success());
}

/// The command when it waits with its report, all outputs complete under temporary names. The tests may run where signals are
/// ignored, as they are in the background of a shell script, and a shell cannot undo that.
fn waiting(room: &Room, arguments: &[&str], shell: &str) -> Child {
    let mut command = Command::new("env");
    command.args(["--default-signal", "sh"]);
    command.current_dir(room.path("")).args(["-c", &format!("{shell} exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_lowrank")).args(arguments).arg("--json");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !room.names().iter().any(|name| name.starts_with(".lowrank-")) {
        std::thread::yield_now();
    }
    child
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("sh").args(["-c", &format!("kill -s {signal} {}", child.id())]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_signal_ends_the_command_and_leaves_nothing_behind() {
    let room = furnished();
    let before = contents(&room);
    for arguments in &WRITERS[2..] {
        for (signal, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15), ("XCPU", 24)] {
            let mut child = waiting(&room, arguments, "ulimit -c 0;");
            send(signal, &child);
            let status: ExitStatus = child.wait().unwrap();
            assert_eq!(status.signal(), Some(number), "{arguments:?}: {status}");
            assert!(contents(&room) == before, "{arguments:?}, {signal}");
        }
    }
}

#[test]
fn signals_that_are_ignored_stay_so() {
    let room = furnished();
    for signal in ["HUP", "INT", "QUIT"] {
        let child = waiting(&room, WRITERS[2], &format!("trap '' {signal};"));
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{signal}: {}", output.status);
        std::fs::remove_file(room.path("out")).unwrap();
    }
}

/// The limit is one of the shell's blocks of 512 or 1024 bytes; every command has an output that is longer, and the
/// first has one that is shorter.
#[test]
fn a_limit_of_the_file_size_is_an_error_that_leaves_nothing_behind() {
    let room = furnished();
    let before = contents(&room);
    for arguments in WRITERS {
        let mut limited = Command::new("sh");
        let blocks =
            if arguments == WRITERS[0] { before[&room.path("packed")].as_ref().unwrap().len() / 512 + 1 } else { 1 };
        limited.current_dir(room.path("")).args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        limited.arg(env!("CARGO_BIN_EXE_lowrank")).args(arguments);
        let error = failed(limited);
        assert!(error.contains("cannot be written"), "{error}");
        assert!(contents(&room) == before, "{arguments:?}");
    }
}

#[test]
fn one_output_named_twice_is_refused() {
    let room = furnished();
    std::fs::create_dir(room.path("sub")).unwrap();
    symlink("sub", room.path("other")).unwrap();
    std::fs::write(room.path("old"), "old").unwrap();
    std::fs::hard_link(room.path("old"), room.path("older")).unwrap();
    let before = contents(&room);
    let absolute = room.path("x");
    let absolute = absolute.to_str().unwrap();
    for (first, second) in [
        ("x", "x"),
        ("x", "./x"),
        ("sub/../x", "x"),
        ("sub/x", "other/x"),
        (absolute, "x"),
        ("sub/./x", "sub//x"),
        ("old", "older"),
        ("old", "old"),
    ] {
        for command in [
            &["convert", "adapter", first, "--c-array", second][..],
            &["convert", "adapter", first, "--rust", second],
            &["convert", "adapter", "y", "--c-array", first, "--rust", second],
        ] {
            for force in [&["--force"][..], &[]] {
                let error = room.bad(&[command, force].concat());
                let twice = error.contains("are names of one file, and two outputs go there");
                assert!(twice || force.is_empty() && error.contains("exists already"), "{error}");
                assert!(contents(&room) == before, "{command:?}");
            }
        }
    }
    room.good(&["convert", "adapter", "x", "--c-array", "sub/x"]);
}

#[test]
fn force_replaces_regular_files_only() {
    let room = furnished();
    let _socket = std::os::unix::net::UnixListener::bind(room.path("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(room.path("fifo")).status().unwrap().success());
    std::fs::create_dir(room.path("directory")).unwrap();
    std::fs::write(room.path("regular"), "old").unwrap();
    symlink("regular", room.path("link")).unwrap();
    symlink("nothing", room.path("dangling")).unwrap();
    symlink("/dev/null", room.path("device")).unwrap();
    // Only root makes devices; `/dev/null` itself is none to try with.
    let _ = Command::new("mknod").arg(room.path("null")).args(["c", "1", "3"]).stderr(Stdio::null()).status();
    let (link, other) = ("is a symbolic link", "is a device, a pipe or a socket");
    let special = [
        ("fifo", other),
        ("socket", other),
        ("directory", "is a directory"),
        ("link", link),
        ("dangling", link),
        ("device", "is a symbolic link to a device, a pipe or a socket"),
        ("null", other),
    ];
    let before = contents(&room);
    for (name, kind) in special.into_iter().filter(|(name, _)| room.path(name).symlink_metadata().is_ok()) {
        for arguments in [
            &["convert", "adapter", name, "--force"][..],
            &["convert", "adapter", "new", "--force", "--c-array", name],
            &["convert", "adapter", "regular", "--force", "--rust", name],
        ] {
            let error = room.bad(arguments);
            let device = kind.ends_with("a socket");
            let why = if device { "outputs are regular files" } else { "--force replaces only regular files" };
            assert!(error.contains(&format!("{name}: {kind}, and {why}")), "{error}");
            assert_eq!(device, !error.contains("remove it"), "{error}");
            assert!(contents(&room) == before, "{arguments:?}");
        }
    }
    room.good(&["convert", "adapter", "regular", "--force"]);
    assert_eq!(std::fs::read(room.path("regular")).unwrap(), std::fs::read(room.path("packed")).unwrap());
}

/// Nothing is printed of an output that cannot be there; `bad` looks at that.
#[test]
fn a_name_that_no_output_can_have_is_refused_before_the_report() {
    let room = furnished();
    std::fs::create_dir(room.path("sub")).unwrap();
    symlink("nothing", room.path("dangling")).unwrap();
    let before = contents(&room);
    let long = "x".repeat(256);
    let (long, deep) = (long.as_str(), format!("sub/{long}"));
    let (no_name, missing) = ("this is no name for an output", "does not exist: make it first");
    let slash = "the output is a file, whose name cannot end in a slash";
    for (name, expected) in [
        (".", no_name),
        ("..", no_name),
        ("/", no_name),
        ("./", no_name),
        ("sub/..", no_name),
        ("sub/../", no_name),
        ("sub/new/.", no_name),
        ("new/.", no_name),
        ("-", "outputs do not go to the standard output"),
        ("nowhere/new", "nowhere/new: the folder nowhere does not exist: make it first"),
        ("sub/nowhere/new", "the folder sub/nowhere does not exist: make it first"),
        ("dangling/new", missing),
        ("base/new", "base/new: the folder base is no folder"),
        ("base/sub/new", "the folder base/sub lies in a file"),
        (long, "File name too long"),
        (&deep, "File name too long"),
        ("new/", slash),
        ("sub/new//", slash),
        ("/dev/null", "is the name of a device, and outputs are"),
    ] {
        let mut commands = vec![
            vec!["convert", "adapter", name],
            vec!["convert", "adapter", name, "--force"],
            vec!["convert", "adapter", "other", "--c-array", name],
            vec!["convert", "adapter", "other", "--rust", name],
            vec!["merge", "adapter", "base", name],
        ];
        // The name of a directory may end in a slash.
        if expected != slash {
            commands.push(vec!["convert", "packed", name]);
            commands.push(vec!["merge", "adapter", "shards/model.safetensors.index.json", name]);
        }
        for arguments in commands {
            let error = room.bad(&arguments);
            assert!(error.contains(expected), "{arguments:?}: {error}");
            assert!(!error.contains(".lowrank-") && !error.contains("remove it"), "{error}");
            assert!(contents(&room) == before, "{arguments:?}");
        }
    }
    for arguments in
        [&["convert", "packed", "sub/a/"][..], &["merge", "adapter", "shards/model.safetensors.index.json", "sub/b/"]]
    {
        room.good(arguments);
    }
    // Wherever the output goes, `/dev/stdout` is nothing to remove.
    for name in ["/dev/stdout", "/dev/fd/1"] {
        for force in [&[][..], &["--force"]] {
            let mut redirected = command(&room, &[&["convert", "adapter", name], force].concat());
            redirected.stdout(File::create(room.path("redirected")).unwrap());
            let error = failed(redirected);
            assert!(error.contains(&format!("{name}: is the name of a device, and outputs are")), "{error}");
        }
    }
    room.good(&["convert", "adapter", "./-"]);
    assert!(["sub/a", "sub/b", "-"].iter().all(|name| room.path(name).exists()));
}

/// Outputs are no secrets, other than the temporary files that they have been.
#[test]
fn outputs_have_the_permissions_that_the_mask_leaves() {
    let room = furnished();
    for (mask, file, directory) in [("022", 0o644, 0o755), ("077", 0o600, 0o700), ("000", 0o666, 0o777)] {
        for arguments in WRITERS {
            let mut masked = Command::new("sh");
            masked.current_dir(room.path("")).args(["-c", &format!("umask {mask}; exec \"$0\" \"$@\"")]);
            masked.arg(env!("CARGO_BIN_EXE_lowrank")).args(arguments).stdout(Stdio::null());
            assert!(masked.status().unwrap().success(), "{arguments:?}");
            let made: Vec<PathBuf> =
                contents(&room).into_keys().filter(|path| path.starts_with(room.path("out"))).collect();
            for path in made.iter().rev() {
                let found = path.metadata().unwrap();
                let expected = if found.is_dir() { directory } else { file };
                assert_eq!(found.permissions().mode() & 0o777, expected, "{mask}: {arguments:?}");
                if found.is_dir() { std::fs::remove_dir(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
            }
            ["out.c", "out.rs"].iter().for_each(|name| drop(std::fs::remove_file(room.path(name))));
        }
    }
}

#[test]
fn force_never_replaces_an_input() {
    let room = furnished();
    std::fs::hard_link(room.path("base"), room.path("hard")).unwrap();
    symlink(".", room.path("here")).unwrap();
    let before = contents(&room);
    let index = "shards/model.safetensors.index.json";
    for (base, output) in [
        ("base", "adapter/adapter_config.json"),
        ("base", "adapter/adapter_model.safetensors"),
        ("base", "adapter/../here/adapter/adapter_config.json"),
        ("base", "base"),
        ("base", "./base"),
        ("base", "here/base"),
        ("base", "hard"),
        (index, index),
        (index, "shards/1"),
        (index, "here/shards/2"),
    ] {
        for outputs in [&[output][..], &["new", "--c-array", output]] {
            let arguments = [&["convert", "adapter", "--force", "--fingerprint", base][..], outputs].concat();
            let error = room.bad(&arguments);
            assert!(error.contains("is an input of this command"), "{arguments:?}: {error}");
            assert!(contents(&room) == before, "{arguments:?}");
        }
    }
}
