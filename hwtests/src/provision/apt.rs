//! Fetches packages with the machine's own apt, into private directories.
//!
//! The mirror is that of the machine's own release. Package lists, cache, state and sources are
//! private; the machine's transport settings (proxies, retries) are carried over, its hooks and
//! preferences are not.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Why the lab cannot run on this machine. That is not a failure: the scenarios are reported as
/// ignored with the reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LabUnavailable(pub String);

/// Keyrings that hold the keys of all Debian releases, by their names before and since trixie.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// Settings that a private apt needs to reach the same mirror.
const CARRIED: [&str; 5] =
    ["Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::ForceIPv", "Acquire::Proxy"];

/// The machine's own apt.
#[derive(Debug)]
pub(super) struct HostApt {
    mirror: String,
    keyring: PathBuf,
    carried: String,
}

/// A private apt with the sources of some suites.
#[derive(Debug)]
pub(super) struct PrivateApt {
    dir: PathBuf,
    config: PathBuf,
}

impl HostApt {
    /// Reads the mirror, the keyring and the transport settings.
    pub(super) fn read() -> Result<HostApt> {
        let targets = run(Command::new("apt-get").args([
            "indextargets",
            // A fresh system has no lists yet, and apt then names no target at all without this.
            "--no-release-info",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ]))?;
        let mirror = mirror_of(&targets).ok_or_else(|| {
            LabUnavailable(
                "this machine's apt names no Debian mirror (apt-get indextargets)".into(),
            )
        })?;
        let keyring = KEYRINGS
            .map(PathBuf::from)
            .into_iter()
            .find(|file| file.exists())
            .ok_or_else(|| LabUnavailable("debian-archive-keyring is not installed".into()))?;
        let dump = run(Command::new("apt-config").arg("dump"))?;
        Ok(HostApt { mirror, keyring, carried: carried(&dump) })
    }

    /// The same with another keyring, if it exists.
    pub(super) fn with_keyring(mut self, keyring: PathBuf) -> HostApt {
        if keyring.exists() {
            self.keyring = keyring;
        }
        self
    }

    /// Makes a private apt below `new` for the named suites and fetches their lists.
    pub(super) fn suite(&self, new: &Path, suites: &[&str]) -> Result<PrivateApt> {
        let dir = new.join(".apt");
        for part in ["etc", "none", "state", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let sources: String = suites
            .iter()
            .map(|suite| {
                format!(
                    "deb [arch=amd64 signed-by={}] {} {suite} main\n",
                    self.keyring.display(),
                    self.mirror
                )
            })
            .collect();
        fs::write(dir.join("etc/sources.list"), sources)?;
        fs::write(dir.join("state/status"), "")?;
        let config = dir.join("apt.conf");
        fs::write(&config, self.config(&dir))?;
        let suite = PrivateApt { dir: new.to_owned(), config };
        suite
            .apt("apt-get", &["-qq", "update"])
            .map_err(|e| LabUnavailable(format!("the Debian mirror cannot be reached: {e:#}")))?;
        Ok(suite)
    }

    fn config(&self, dir: &Path) -> String {
        // The sandbox user of apt may not write into a directory of ours, so it is root.
        format!(
            r#"Dir "{root}";
Dir::Etc "{root}/etc";
Dir::Etc::main "-";
Dir::Etc::parts "{root}/none";
Dir::Etc::sourcelist "{root}/etc/sources.list";
Dir::Etc::sourceparts "{root}/none";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "{root}/none";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::State::lists "{root}/lists";
Dir::Cache "{root}/cache";
Dir::Log "{root}";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "3";
Acquire::http::Timeout "30";
{carried}"#,
            root = dir.display(),
            carried = self.carried,
        )
    }
}

impl PrivateApt {
    /// Fetches packages with all they depend on; `release` prefers one of the suites.
    pub(super) fn fetch(&self, packages: &[&str], release: Option<&str>) -> Result<()> {
        let mut args = vec!["-qq", "-y", "--download-only", "--no-install-recommends"];
        args.extend(release.iter().flat_map(|name| ["-t", name]));
        args.push("install");
        args.extend(packages);
        self.apt("apt-get", &args).map(drop)
    }

    /// Fetches one package without what it depends on.
    pub(super) fn fetch_alone(&self, package: &str) -> Result<()> {
        // apt downloads into its working directory.
        self.apt("apt-get", &["-qq", "download", package]).map(drop)
    }

    /// The package that a metapackage of a release depends on.
    pub(super) fn depends_on(&self, package: &str, release: &str, prefix: &str) -> Result<String> {
        let text = self.apt("apt-cache", &["depends", &format!("{package}/{release}")])?;
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| name.starts_with(prefix))
            .map(str::to_owned)
            .with_context(|| format!("{package} in {release} depends on no {prefix}*"))
    }

    /// Unpacks everything fetched into the tree and deletes the packages.
    pub(super) fn unpack(&self) -> Result<()> {
        let mut packages: Vec<PathBuf> = fs::read_dir(self.archives())?
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|path| path.extension() == Some(OsStr::new("deb")))
            .collect();
        packages.sort();
        if packages.is_empty() {
            bail!("apt fetched nothing");
        }
        for package in &packages {
            run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&self.dir))?;
        }
        let names: Vec<String> =
            packages.iter().filter_map(|p| Some(p.file_stem()?.to_str()?.to_owned())).collect();
        fs::write(self.dir.join(".packages"), names.join("\n") + "\n")?;
        fs::remove_dir_all(self.dir.join(".apt"))?;
        Ok(())
    }

    fn archives(&self) -> PathBuf {
        self.dir.join(".apt/cache/archives")
    }

    fn apt(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.current_dir(self.archives());
        run(command.env("APT_CONFIG", &self.config).args(args))
    }
}

/// Runs a command to its end; its standard output, or an error with its messages.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("starting {name}"))?;
    if !out.status.success() {
        bail!("{name} ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The mirror of the machine's own release: of a suite without a suffix (`bookworm`, not
/// `bookworm-security`) with the component `main`. Other archives may look the same; those that end
/// in `/debian` come first.
fn mirror_of(targets: &str) -> Option<String> {
    let mut mirrors: Vec<&str> = targets
        .lines()
        .filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [uri, suite, "main"] => {
                let plain = !suite.is_empty() && suite.bytes().all(|b| b.is_ascii_lowercase());
                (plain && !uri.is_empty()).then(|| uri.trim_end_matches('/'))
            }
            _ => None,
        })
        .collect();
    mirrors.sort_by_key(|uri| !uri.ends_with("/debian"));
    mirrors.first().map(|uri| (*uri).to_owned())
}

/// The lines of `apt-config dump` that say how the mirror is reached.
fn carried(dump: &str) -> String {
    dump.lines()
        .filter(|line| CARRIED.iter().any(|key| line.starts_with(key)))
        .filter(|line| !line.ends_with(" \"\";"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_the_plain_suite() {
        let targets = "https://security.example/debian-security/ bookworm-security main\n\
                       https://tools.example/repo/ nodistro main\n\
                       https://containers.example/linux/debian/ bookworm stable\n\
                       https://mirror.example/debian/ bookworm-updates main\n\
                       https://mirror.example/debian/ bookworm main\n";
        assert_eq!(mirror_of(targets).as_deref(), Some("https://mirror.example/debian"));
        assert_eq!(mirror_of("https://m.example/d/ bookworm-security main\n"), None);
        assert_eq!(
            mirror_of("https://m.example/d/ stable main\n").as_deref(),
            Some("https://m.example/d")
        );
        assert_eq!(mirror_of(""), None);
    }

    #[test]
    fn proxies_are_carried_and_hooks_are_not() {
        let dump = "Acquire \"\";\nAcquire::http \"\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\n\
                    APT::Update::Post-Invoke:: \"rm -f x\";\nAcquire::Languages \"de\";\n";
        assert_eq!(carried(dump), "Acquire::http::Proxy \"http://proxy.example:3128\";\n");
    }
}
