//! Files that are there as a whole, or not at all; and of several, all or none.

use std::fs::Permissions;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir, TempPath};

use crate::cleanup;
use crate::error::Failure;

/// What a command writes.
#[derive(Default)]
pub(crate) struct Outputs {
    /// Regular files of the same names may be replaced.
    replace: bool,
    complete: Vec<Complete>,
}

/// A file or a directory that only lacks its name.
pub(crate) struct Complete {
    path: PathBuf,
    draft: Nameless,
}

enum Nameless {
    File(NamedTempFile),
    Directory(TempDir),
}

/// How a name goes back to what it stood for.
enum Undo {
    Remove(PathBuf),
    Restore { old: TempPath, path: PathBuf },
}

impl Outputs {
    /// Outputs that may be written: each to a name of its own in a directory that exists, none over an input.
    pub(crate) fn new(paths: &[&Path], inputs: &[PathBuf], replace: bool) -> Result<Self, Failure> {
        for (number, &path) in paths.iter().enumerate() {
            expect_name(path)?;
            expect_folder(path)?;
            expect_free(path, replace)?;
            if let Some(first) = paths[..number].iter().find(|first| same(first, path)) {
                return Err(Failure::OneOutputTwice { first: (*first).to_owned(), second: path.to_owned() });
            }
            if replace && let Some(input) = inputs.iter().find(|input| same(input, path)) {
                return Err(Failure::OutputIsInput { path: path.to_owned(), input: input.clone() });
            }
        }
        Ok(Self { replace, complete: Vec::new() })
    }

    /// Adds a file with these bytes.
    pub(crate) fn file(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let mut draft = Draft::new(path)?;
        draft.write(bytes)?;
        self.add(draft.complete()?);
        Ok(())
    }

    pub(crate) fn add(&mut self, complete: Complete) {
        self.complete.push(complete);
    }

    /// Gives everything its name; when that fails, nothing is as if it had been tried.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        let Self { replace, complete } = self;
        cleanup::commit(|| {
            let (mut undo, mut left) = (Vec::new(), complete.len());
            for output in complete {
                left -= 1;
                // After the last one there is nothing that could fail.
                match output.name(replace, left > 0) {
                    Ok(step) => undo.push(step),
                    Err(failure) => {
                        undo.into_iter().rev().for_each(Undo::run);
                        return Err(failure);
                    }
                }
            }
            Ok(())
        })
    }
}

impl Complete {
    fn name(self, replace: bool, keep_old: bool) -> Result<Undo, Failure> {
        let Self { path, draft } = self;
        expect_free(&path, replace)?;
        let undo = match keep_old && path.exists() {
            true => Undo::Restore { old: second_name(&path).map_err(cannot(&path))?, path: path.clone() },
            false => Undo::Remove(path.clone()),
        };
        match draft {
            Nameless::File(file) => {
                let named = if replace { file.persist(&path) } else { file.persist_noclobber(&path) };
                named.map_err(|error| cannot(&path)(error.error))?;
            }
            Nameless::Directory(directory) => {
                std::fs::rename(directory.path(), &path).map_err(cannot(&path))?;
                // It is not where `TempDir` would remove it any more.
                let _ = directory.keep();
            }
        }
        Ok(undo)
    }
}

impl Undo {
    fn run(self) {
        let _ = match self {
            Undo::Remove(path) if path.is_dir() => std::fs::remove_dir_all(path),
            Undo::Remove(path) => std::fs::remove_file(path),
            Undo::Restore { old, path } => old.persist(path).map_err(|error| error.error),
        };
    }
}

/// A file under a temporary name beside its own.
pub(crate) struct Draft {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl Draft {
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        if path.to_string_lossy().ends_with(std::path::is_separator) {
            let flaw = "the output is a file, whose name cannot end in a slash; leave it out";
            return Err(Failure::OutputName { path: path.to_owned(), flaw });
        }
        let make = || builder(Kind::File).tempfile_in(parent(path));
        let file = cleanup::create(make, |file| file.path()).map_err(cannot(path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(cannot(&self.path))
    }

    /// All bytes are on the disk.
    pub(crate) fn complete(self) -> Result<Complete, Failure> {
        let Self { path, file } = self;
        let file = file.into_inner().map_err(|error| cannot(&path)(error.into_error()))?;
        file.as_file().sync_all().map_err(cannot(&path))?;
        Ok(Complete { path, draft: Nameless::File(file) })
    }
}

/// A directory under a temporary name beside its own.
pub(crate) struct DraftDirectory {
    path: PathBuf,
    directory: TempDir,
}

impl DraftDirectory {
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let make = || builder(Kind::Directory).tempdir_in(parent(path));
        let directory = cleanup::create(make, |directory| directory.path()).map_err(cannot(path))?;
        Ok(Self { path: path.to_owned(), directory })
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &Path) -> Result<Draft, Failure> {
        Draft::new(&self.directory.path().join(name))
    }

    /// Gives a file in it its name.
    pub(crate) fn add(&self, file: Draft) -> Result<(), Failure> {
        let complete = file.complete()?;
        cleanup::undisturbed(|| complete.name(false, false)).map(drop)
    }

    pub(crate) fn complete(self) -> Complete {
        Complete { path: self.path, draft: Nameless::Directory(self.directory) }
    }
}

/// # Errors
/// For a path whose last part names nothing new, or looks like the standard output.
fn expect_name(path: &Path) -> Result<(), Failure> {
    let text = path.to_string_lossy();
    let flaw = match text.trim_end_matches(std::path::is_separator).rsplit(std::path::is_separator).next() {
        Some("" | "." | "..") | None => "this is no name for an output; choose one",
        Some("-") if text == "-" => {
            "outputs do not go to the standard output; choose another name, or write ./- for a file of this one"
        }
        Some(_) => return Ok(()),
    };
    Err(Failure::OutputName { path: path.to_owned(), flaw })
}

/// # Errors
/// When the directory of an output is missing, or is none.
fn expect_folder(path: &Path) -> Result<(), Failure> {
    let folder = parent(path);
    let flaw = match folder.metadata() {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "is no folder: choose another one",
        Err(error) if error.kind() == ErrorKind::NotFound => "does not exist: make it first",
        Err(error) if error.kind() == ErrorKind::NotADirectory => "lies in a file: choose another one",
        Err(error) => return Err(cannot(path)(error)),
    };
    Err(Failure::OutputFolder { path: path.to_owned(), folder: folder.to_owned(), flaw })
}

/// # Errors
/// When no file can have that name, or something has it that may not be replaced: only regular files may.
fn expect_free(path: &Path, replace: bool) -> Result<(), Failure> {
    let found = match path.symlink_metadata() {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot(path)(error)),
    };
    if parent(path).canonicalize().is_ok_and(|folder| folder == Path::new("/dev") || folder.starts_with("/proc")) {
        // What it leads to changes with redirections.
        return Err(Failure::Special { path: path.to_owned(), kind: "the name of a device" });
    }
    if is_special(path) {
        let kind = if found.is_symlink() { "a symbolic link to a device, a pipe or a socket" } else { DEVICE };
        return Err(Failure::Special { path: path.to_owned(), kind });
    }
    match replace {
        false => Err(Failure::Exists { path: path.to_owned() }),
        true if found.is_file() => Ok(()),
        true => Err(Failure::NotRegular { path: path.to_owned(), kind: kind(found) }),
    }
}

const DEVICE: &str = "a device, a pipe or a socket";

/// Whether the path leads to something that is neither a file nor a directory.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn kind(found: std::fs::FileType) -> &'static str {
    if found.is_dir() {
        "a directory"
    } else if found.is_symlink() {
        "a symbolic link"
    } else {
        DEVICE
    }
}

/// Whether two paths are names of one file, whatever their spelling; it need not be there yet.
fn same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| Some(parent(path).canonicalize().ok()?.join(path.file_name()?));
    let both = |of: fn(&Path) -> Option<(u64, u64)>| of(one).is_some_and(|one| Some(one) == of(other));
    one == other || both(identity) || place(one).is_some_and(|one| Some(one) == place(other))
}

/// The same for all names of a file. Nothing is opened, since opening a pipe waits for its other end.
fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        path.metadata().ok().map(|file| (file.dev(), file.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Another name for a file, so that the file outlives its own; a copy where there are no hard links.
fn second_name(path: &Path) -> std::io::Result<TempPath> {
    let link = |name: &Path| {
        std::fs::hard_link(path, name).or_else(|error| match error.kind() {
            ErrorKind::AlreadyExists => Err(error),
            _ => std::fs::copy(path, name).map(drop),
        })
    };
    Ok(builder(Kind::File).make_in(parent(path), link)?.into_temp_path())
}

#[derive(Copy, Clone)]
enum Kind {
    File,
    Directory,
}

/// With the permissions that other programs give, not those of temporary files.
fn builder(kind: Kind) -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".lowrank-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(Permissions::from_mode(match kind {
            Kind::File => 0o666,
            Kind::Directory => 0o777,
        }));
    }
    builder
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |source| match source.kind() {
        ErrorKind::AlreadyExists => Failure::Exists { path: path.clone() },
        _ => Failure::Write { path: path.clone(), source: without_name(source) },
    }
}

/// What the system says, without the temporary name that `tempfile` adds.
fn without_name(error: std::io::Error) -> std::io::Error {
    let inner = std::error::Error::source(&error).and_then(|inner| inner.downcast_ref::<std::io::Error>());
    inner.and_then(std::io::Error::raw_os_error).map_or(error, std::io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(room: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(room).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_draft_leaves_nothing_behind() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("x");
        let mut draft = Draft::new(&path).unwrap();
        draft.write(b"half").unwrap();
        drop(draft);
        assert_eq!(names(room.path()), [""; 0]);
        let directory = DraftDirectory::new(&path).unwrap();
        directory.add(directory.file(Path::new("y")).unwrap()).unwrap();
        drop(directory.complete());
        assert_eq!(names(room.path()), [""; 0]);
    }

    /// Three outputs, of which the last one fails when it gets its name.
    fn failing(room: &Path, replace: bool, obstacle: impl FnOnce(&Path)) -> Failure {
        let paths = ["a", "b", "c"].map(|name| room.join(name));
        let mut outputs = Outputs::new(&paths.each_ref().map(PathBuf::as_path), &[], replace).unwrap();
        paths.iter().for_each(|path| outputs.file(path, b"new").unwrap());
        obstacle(&paths[2]);
        outputs.commit().unwrap_err()
    }

    #[test]
    fn of_several_outputs_all_are_there_or_none() {
        let room = tempfile::tempdir().unwrap();
        let failure = failing(room.path(), false, |path| std::fs::write(path, "old").unwrap());
        assert!(matches!(failure, Failure::Exists { path } if path.ends_with("c")));
        assert_eq!(names(room.path()), ["c"]);
        assert_eq!(std::fs::read(room.path().join("c")).unwrap(), b"old");

        for olds in [&["a"][..], &["b"], &["a", "b"]] {
            let room = tempfile::tempdir().unwrap();
            olds.iter().for_each(|old| std::fs::write(room.path().join(old), format!("old {old}")).unwrap());
            let failure = failing(room.path(), true, |path| std::fs::create_dir(path).unwrap());
            assert!(matches!(failure, Failure::NotRegular { kind: "a directory", .. }));
            assert_eq!(names(room.path()), [olds, &["c"]].concat());
            for old in olds {
                assert_eq!(std::fs::read_to_string(room.path().join(old)).unwrap(), format!("old {old}"));
            }
        }
    }

    #[test]
    fn what_is_replaced_leaves_nothing_behind() {
        let room = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| room.path().join(name));
        std::fs::write(&paths[0], "old").unwrap();
        let mut outputs = Outputs::new(&paths.each_ref().map(PathBuf::as_path), &[], true).unwrap();
        paths.iter().for_each(|path| outputs.file(path, b"new").unwrap());
        outputs.commit().unwrap();
        assert_eq!(names(room.path()), ["a", "b"]);
        paths.iter().for_each(|path| assert_eq!(std::fs::read(path).unwrap(), b"new"));
    }
}
