//! How fast the disk gives files that are not in memory. Nothing is claimed where reads may have
//! come from memory: the kernel is asked, not believed to have done what it was told.

use std::path::Path;

/// A rate that is worth its name needs so many bytes, and takes no more of either.
const BYTES_MIN: u64 = 16 << 20;
const BYTES_MAX: u64 = 512 << 20;
const SECONDS_MAX: f64 = 4.0;

/// Bytes per second of the largest of these files, or in one line why it is not known.
pub(super) fn rate<'a>(files: impl Iterator<Item = &'a Path>) -> Result<f64, String> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |details| details.len());
    let Some(path) = files.max_by_key(|path| size(path)) else {
        return Err("no model is here to read: `hob pull smollm2`, then again".to_owned());
    };
    if size(path) < BYTES_MIN {
        return Err(format!("{} is too small to tell", path.display()));
    }
    read(path).map_err(|why| format!("{}: {why}", path.display()))
}

#[cfg(not(target_os = "linux"))]
fn read(_path: &Path) -> Result<f64, String> {
    Err("past the system's cache files are read on Linux only".to_owned())
}

#[cfg(target_os = "linux")]
use linux::read;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{File, OpenOptions};
    use std::io::{self, IoSliceMut};
    use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
    use std::path::Path;
    use std::time::Instant;

    use rustix::fs::{Advice, OFlags, fadvise, fstatfs};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::{BYTES_MAX, BYTES_MIN, SECONDS_MAX};

    /// Read at a time: what loading asks for, and a multiple of every block.
    const PART: usize = 4 << 20;
    /// Where reads past the cache must begin in memory, at most.
    const ALIGNMENT: usize = 4096;
    /// Places that are looked at for what the cache still has.
    const PROBES: u64 = 64;
    /// `f_type` of file systems that are memory themselves (`linux/magic.h`).
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;

    pub(super) fn read(path: &Path) -> Result<f64, String> {
        let words = |error: io::Error| error.to_string();
        let file = File::open(path).map_err(words)?;
        let kind = fstatfs(&file).map_err(|error| words(error.into()))?.f_type;
        if [TMPFS, RAMFS].contains(&(kind as u64 & 0xffff_ffff)) {
            return Err("it is in memory, not on a disk".to_owned());
        }
        let direct = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(path);
        // Not every file system has it, and some say so only when read from.
        if let Ok(direct) = direct
            && let Ok(rate) = timed(&direct)
        {
            return rate;
        }
        dropped(&file)?;
        timed(&file).map_err(words)?
    }

    /// Bytes per second from the start of a file.
    fn timed(file: &File) -> io::Result<Result<f64, String>> {
        let mut memory = vec![0; PART + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        let part = &mut memory[start..start + PART];
        let started = Instant::now();
        let mut done = 0;
        while done < BYTES_MAX && started.elapsed().as_secs_f64() < SECONDS_MAX {
            let count = file.read_at(part, done)?;
            done += count as u64;
            if count < PART {
                break;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        if done < BYTES_MIN {
            return Ok(Err(format!("only {done} bytes came in {seconds:.1} s")));
        }
        Ok(Ok(done as f64 / seconds.max(1e-6)))
    }

    /// Has the cache drop a file, and looks whether it did.
    fn dropped(file: &File) -> Result<(), String> {
        let asked = fadvise(file, 0, None, Advice::DontNeed);
        asked.map_err(|error| io::Error::from(error).to_string())?;
        let len = file.metadata().map_err(|error| error.to_string())?.len().min(BYTES_MAX);
        let mut byte = [0];
        for probe in 0..PROBES {
            let at = probe * len / PROBES;
            let parts = &mut [IoSliceMut::new(&mut byte)];
            match preadv2(file, parts, at, ReadWriteFlags::NOWAIT) {
                // It would have to wait for the disk.
                Err(Errno::AGAIN) => {}
                Ok(_) => return Err("the system keeps it in memory".to_owned()),
                Err(error) => {
                    let error = io::Error::from(error);
                    return Err(format!("whether it is in memory cannot be known: {error}"));
                }
            }
        }
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use super::{dropped, timed};

        #[test]
        fn what_was_just_read_is_known_to_be_in_memory() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            std::fs::write(&path, vec![7; 1 << 20]).unwrap();
            let file = std::fs::File::open(&path).unwrap();
            // Too few bytes for a rate, whoever gives them.
            let why = timed(&file).unwrap().unwrap_err();
            assert!(why.starts_with("only 1048576 bytes came"), "{why}");
            // Pages that were never written to the disk cannot be dropped; where the system wrote
            // them at once they can.
            if let Err(why) = dropped(&file) {
                assert!(why.contains("memory"), "{why}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MIN, rate};

    #[test]
    fn without_a_file_to_read_nothing_is_claimed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(rate([].into_iter()).unwrap_err().starts_with("no model is here"));
        let small = folder.path().join("small.gguf");
        std::fs::write(&small, b"GGUF").unwrap();
        assert!(rate([small.as_path()].into_iter()).unwrap_err().ends_with("too small to tell"));
        let missing = folder.path().join("missing.gguf");
        assert!(rate([missing.as_path()].into_iter()).is_err());
    }

    /// The largest is read, and where a rate is told it is one that a disk can have.
    #[test]
    fn rates_are_those_of_disks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.gguf");
        let bytes = usize::try_from(BYTES_MIN + 5).unwrap();
        std::fs::write(&path, vec![7; bytes]).unwrap();
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
        match rate([path.as_path()].into_iter()) {
            Ok(rate) => assert!((1e5..1e12).contains(&rate), "{rate}"),
            Err(why) => assert!(why.contains("large.gguf"), "{why}"),
        }
    }
}
