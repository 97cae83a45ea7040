//! Files that are there as a whole, or not at all.

use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

use crate::error::Failure;

/// A file under a temporary name beside its own.
pub(crate) struct Draft {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    /// Whether a file of that name may be replaced.
    replace: bool,
}

impl Draft {
    pub(crate) fn new(path: &Path, replace: bool) -> Result<Self, Failure> {
        if !replace {
            expect_absent(path)?;
        }
        let file = builder(Kind::File).tempfile_in(parent(path)).map_err(cannot(path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), replace })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(cannot(&self.path))
    }

    /// Gives the file its name.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { path, file, replace } = self;
        let file = file.into_inner().map_err(|error| cannot(&path)(error.into_error()))?;
        file.as_file().sync_all().map_err(cannot(&path))?;
        let named = if replace { file.persist(&path) } else { file.persist_noclobber(&path) };
        match named {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::Exists { path }),
            Err(error) => Err(cannot(&path)(error.error)),
        }
    }
}

/// A directory under a temporary name beside its own.
pub(crate) struct DraftDirectory {
    path: PathBuf,
    directory: TempDir,
}

impl DraftDirectory {
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        expect_absent(path)?;
        let directory = builder(Kind::Directory).tempdir_in(parent(path)).map_err(cannot(path))?;
        Ok(Self { path: path.to_owned(), directory })
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &Path) -> Result<Draft, Failure> {
        Draft::new(&self.directory.path().join(name), false)
    }

    /// Gives the directory its name.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Self { path, directory } = self;
        expect_absent(&path)?;
        std::fs::rename(directory.path(), &path).map_err(cannot(&path))?;
        // It is not where `TempDir` would remove it any more.
        let _ = directory.keep();
        Ok(())
    }
}

/// # Errors
/// [`Failure::Exists`] when something has that name.
pub(crate) fn expect_absent(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(_) => Err(Failure::Exists { path: path.to_owned() }),
        Err(_) => Ok(()),
    }
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
    move |source| Failure::Write { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_leaves_nothing_behind() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("x");
        let mut draft = Draft::new(&path, false).unwrap();
        draft.write(b"half").unwrap();
        drop(draft);
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
        let directory = DraftDirectory::new(&path).unwrap();
        directory.file(Path::new("y")).unwrap().finish().unwrap();
        drop(directory);
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_exists_is_not_replaced() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("x");
        let early = Draft::new(&path, false).unwrap();
        std::fs::write(&path, "old").unwrap();
        assert!(matches!(Draft::new(&path, false), Err(Failure::Exists { .. })));
        assert!(matches!(DraftDirectory::new(&path), Err(Failure::Exists { .. })));
        assert!(matches!(early.finish(), Err(Failure::Exists { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let mut draft = Draft::new(&path, true).unwrap();
        draft.write(b"new").unwrap();
        draft.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
