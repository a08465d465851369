use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file that is renamed when it is full: `<path>` to `<path>.1`, and `<path>.1` to `<path>.2`, up to the number of
/// files. The oldest is overwritten.
#[derive(Debug)]
pub(crate) struct RotatedFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    max_files: NonZeroU32,
    /// Whether the file ends with a part of a line, because a write has failed.
    is_torn: bool,
}

impl RotatedFile {
    /// Opens a file to append to. A new file can be read and written by its owner only.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or another process writes to it.
    pub(crate) fn open(path: &Path, max_bytes: u64, max_files: NonZeroU32) -> io::Result<Self> {
        let file = open(path)?;
        let bytes = file.metadata()?.len();
        // The last line of a process that was killed may have no end.
        Ok(Self { path: path.to_owned(), file, bytes, max_bytes, max_files, is_torn: bytes > 0 && !ends(path)? })
    }

    /// Appends a line.
    ///
    /// # Errors
    ///
    /// If the file cannot be written or renamed.
    pub(crate) fn write(&mut self, line: &str) -> io::Result<()> {
        let line = if self.is_torn { format!("\n{line}\n") } else { format!("{line}\n") };
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        let written = self.file.write_all(line.as_bytes());
        self.is_torn = written.is_err();
        self.bytes = self.file.metadata()?.len();
        written
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Unless an earlier attempt has renamed it, and then failed.
        if self.path.try_exists()? {
            for number in (1..self.max_files.get()).rev() {
                rename(&self.numbered(number - 1), &self.numbered(number))?;
            }
            if self.max_files.get() == 1 {
                fs::remove_file(&self.path)?;
            }
        }
        self.file = open(&self.path)?;
        (self.bytes, self.is_torn) = (self.file.metadata()?.len(), false);
        Ok(())
    }

    /// The path of a file; 0 is the one that is written to.
    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut path = OsString::from(&self.path);
        path.push(format!(".{number}"));
        path.into()
    }
}

/// Opens and locks a file.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => io::Error::other("another process writes to it"),
        fs::TryLockError::Error(error) => error,
    })?;
    Ok(file)
}

/// Whether the last character of a file is a line break.
fn ends(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn written(path: &Path, max_files: u32, lines: std::ops::Range<u32>) {
        let mut file = RotatedFile::open(path, 100, NonZeroU32::new(max_files).unwrap()).unwrap();
        lines.for_each(|number| file.write(&format!("{number:029}")).unwrap());
    }

    /// The last digits of the lines of each file, the newest file first.
    fn read(dir: &Path, max_files: u32) -> Vec<String> {
        let name = |number| if number == 0 { "log".to_owned() } else { format!("log.{number}") };
        let texts = (0..=max_files).map_while(|number| fs::read_to_string(dir.join(name(number))).ok());
        texts.map(|text| text.lines().map(|line| &line[27..]).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_full_file_is_renamed_and_the_oldest_goes() {
        for (max_files, files) in
            [(1, vec!["09"]), (2, vec!["09", "06 07 08"]), (9, vec!["09", "06 07 08", "03 04 05", "00 01 02"])]
        {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("log");
            // A process that starts again goes on with the file.
            written(&path, max_files, 0..5);
            written(&path, max_files, 5..10);
            assert_eq!(read(dir.path(), 9), files);
        }
    }

    #[test]
    fn a_torn_line_is_ended() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "torn").unwrap();
        written(&path, 1, 1..2);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("torn\n{:029}\n", 1));
    }

    /// While no new file can be made, no attempt renames the old ones again.
    #[test]
    fn a_failed_rotation_loses_no_file() {
        let dir = TempDir::new().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("log");
        written(&path, 3, 0..3);
        let mut file = RotatedFile::open(&path, 100, NonZeroU32::new(3).unwrap()).unwrap();
        fs::rename(&path, folder.join("log.1")).unwrap();
        let away = dir.path().join("away");
        fs::rename(&folder, &away).unwrap();
        for _ in 0..5 {
            assert!(file.write(&"x".repeat(29)).is_err());
        }
        fs::rename(&away, &folder).unwrap();
        file.write(&format!("{:029}", 3)).unwrap();
        assert_eq!(read(&folder, 3), ["03", "00 01 02"]);
    }
}
