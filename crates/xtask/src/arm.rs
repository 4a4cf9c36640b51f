//! The kernels for Arm under emulation, on one processor for each variant that they have.
//!
//! Host and target code need the same compiler. Debian has one with a standard library for Arm
//! beside it, so that is what builds here, into a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{Package, cache, command, is_root_of_debian, packages, step};

const RUSTC: Package = Package { name: "rustc-web", brings: "/usr/bin/rustc" };
const LINKER: Package =
    Package { name: "gcc-aarch64-linux-gnu", brings: "/usr/bin/aarch64-linux-gnu-gcc" };
const LIBC: Package =
    Package { name: "libc6-dev-arm64-cross", brings: "/usr/aarch64-linux-gnu/lib/libc.so.6" };
const EMULATOR: Package =
    Package { name: "qemu-user-static", brings: "/usr/bin/qemu-aarch64-static" };
const LIBRARY: &str = "libstd-rust-web-dev";
const TARGET: &str = "aarch64-unknown-linux-gnu";

/// A processor as the emulator knows it.
struct Processor {
    name: &'static str,
    /// What `kernels_cpu::variants()` must find.
    variants: &'static str,
    /// Tests that must pass besides those of all processors.
    wanted: &'static [&'static str],
    packages: &'static [&'static str],
}

const KERNELS: &str = "kernels-cpu";

/// One for each variant as the best of a machine. What knows of no instructions is tried on the
/// first alone.
const PROCESSORS: [Processor; 3] = [
    Processor {
        name: "max",
        variants: "variants: [NeonI8mm, NeonDotprod, Neon, Portable]",
        wanted: &["any_bytes_are_blocks"],
        packages: &[KERNELS, "quant"],
    },
    Processor {
        name: "cortex-a76",
        variants: "variants: [NeonDotprod, Neon, Portable]",
        wanted: &[],
        packages: &[KERNELS],
    },
    Processor {
        name: "cortex-a72",
        variants: "variants: [Neon, Portable]",
        wanted: &[],
        packages: &[KERNELS],
    },
];

/// What takes minutes under emulation and is proved without. Conformance of the best variant has
/// attention over as many positions; the other tests compare all variants with sums in f64 and, bit
/// for bit, on several threads; and the portable one conforms where the machine itself runs it.
const SKIPPED: [&str; 3] =
    ["the_other_variants", "on_three_threads", "tests::attention_is_softmax_whatever_the_chunks"];

/// Tests that must pass on every processor, so that a renamed one is missed.
const WANTED: [&str; 5] = [
    "tests::conformance::the_best_variant_agrees_on_one_thread",
    "simd::neon::tests::floats_are_those_of_plain_rust",
    "simd::neon::tests::integers_are_those_of_plain_rust",
    "tests::products_agree_with_f64_sums",
    "tests::a_row_never_sees_its_neighbours_or_the_threads",
];

/// Installs, builds, and runs all processors at once.
pub(crate) fn run() -> Result<()> {
    if cfg!(target_arch = "aarch64") {
        println!("── arm: this processor is one, and `cargo test` runs its kernels");
        return Ok(());
    }
    let started = Instant::now();
    install()?;
    step("build for Arm", tests(&PROCESSORS[0])?.arg("--no-run"))?;
    println!("── {} emulated processors", PROCESSORS.len());
    std::thread::scope(|scope| {
        let runs = PROCESSORS.each_ref().map(|processor| scope.spawn(|| test(processor)));
        let results = runs.map(|run| run.join().expect("a run returns its errors"));
        results.into_iter().collect::<Result<Vec<()>>>()
    })?;
    println!("── arm: all passed in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The tests of one processor, and proof that they were those wanted.
fn test(processor: &Processor) -> Result<()> {
    let name = processor.name;
    let mut cargo = tests(processor)?;
    cargo.args(["--", "--show-output"]);
    cargo.args(SKIPPED.iter().flat_map(|test| ["--skip", *test]));
    let Output { status, stdout, stderr } = cargo.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&stdout);
    let all = || format!("{said}\n{}", String::from_utf8_lossy(&stderr));
    ensure!(status.success(), "-cpu {name}: {status}\n{}", all());
    let lacks = |what: &str| format!("-cpu {name}: `{what}` is missing from\n{}", all());
    ensure!(said.contains(processor.variants), lacks(processor.variants));
    for test in WANTED.iter().chain(processor.wanted) {
        let passed = format!("test {test} ... ok");
        ensure!(said.contains(&passed), lacks(&passed));
    }
    let count = said.lines().filter(|line| line.ends_with(" ... ok")).count();
    println!("   -cpu {name}: {count} tests passed; {}", processor.variants);
    Ok(())
}

/// `cargo test` with Debian's compiler and an emulated processor.
fn tests(processor: &Processor) -> Result<Command> {
    let sysroot = sysroot().to_str().context("the project's path is not UTF-8")?.to_owned();
    let mut cargo = command("cargo");
    // Optimised as it is for people; what optimises across crates would be for nothing here.
    cargo.args(["test", "--release", "--target", TARGET, "--tests"]);
    cargo.args(processor.packages.iter().flat_map(|package| ["--package", *package]));
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    cargo.env("CARGO_TARGET_DIR", folder().join("target"));
    cargo.env("RUSTC", RUSTC.brings);
    // This form wins over flags that are set outside, and holds a path with spaces.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", format!("--sysroot={sysroot}"));
    let variable = |name: &str| format!("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_{name}");
    cargo.env(variable("LINKER"), LINKER.brings);
    let runner = format!("{} -cpu {} -L /usr/aarch64-linux-gnu", EMULATOR.brings, processor.name);
    cargo.env(variable("RUNNER"), runner);
    Ok(cargo)
}

fn folder() -> PathBuf {
    cache().join("arm")
}

/// Of the target only: the host's is the compiler's own.
fn sysroot() -> PathBuf {
    folder().join("sysroot")
}

/// Installs what the machine lacks, and the standard library of the compiler's version.
fn install() -> Result<()> {
    let mark = folder().join("installed.txt");
    let unpacked = std::fs::read_to_string(&mark).unwrap_or_default();
    if EMULATOR.is_there() && version().is_ok_and(|version| version == unpacked) {
        return Ok(());
    }
    if is_root_of_debian() {
        step("allow Arm packages", command("dpkg").args(["--add-architecture", "arm64"]))?;
        // Of that architecture too, for what is downloaded below.
        step("look for packages", command("apt-get").args(["update", "-qq"]))?;
    }
    packages("cargo xtask arm", &[RUSTC, LINKER, LIBC, EMULATOR])?;
    let version = version()?;
    let by_hand = "dpkg --add-architecture arm64 && apt-get update";
    library(&version).with_context(|| format!("it may help, as root: {by_hand}"))?;
    std::fs::write(&mark, version)?;
    Ok(())
}

/// Of the package that the compiler comes from.
fn version() -> Result<String> {
    let mut query = command("dpkg-query");
    query.args(["--show", "--showformat=${Version}", RUSTC.name]).stderr(Stdio::null());
    let output = query.output().context("`cargo xtask arm` needs Debian 12, for its packages")?;
    ensure!(
        output.status.success(),
        "`cargo xtask arm` needs Debian's package {} for {}",
        RUSTC.name,
        RUSTC.brings
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Downloads the standard library for Arm and unpacks it into the sysroot.
fn library(version: &str) -> Result<()> {
    let folder = folder();
    for old in ["download", "unpacked", "sysroot"] {
        let old = folder.join(old);
        if old.exists() {
            std::fs::remove_dir_all(old)?;
        }
    }
    let download = folder.join("download");
    std::fs::create_dir_all(&download)?;
    let mut apt = command("apt-get");
    apt.args(["download", "-qq", &format!("{LIBRARY}:arm64={version}")]).current_dir(&download);
    step("download the standard library for Arm", &mut apt)?;
    let Some(package) = std::fs::read_dir(&download)?.next() else {
        bail!("apt-get download left nothing in {}", download.display());
    };
    let unpacked = folder.join("unpacked");
    let mut dpkg = command("dpkg");
    step("unpack it", dpkg.arg("-x").arg(package?.path()).arg(&unpacked))?;
    std::fs::create_dir_all(sysroot().join("lib/rustlib"))?;
    let library = Path::new("lib/rustlib").join(TARGET);
    std::fs::rename(unpacked.join("usr").join(&library), sysroot().join(&library))?;
    std::fs::remove_dir_all(unpacked)?;
    std::fs::remove_dir_all(download)?;
    Ok(())
}
