//! Runs the program as a user would, in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// First byte of the flash contents in a card file.
pub(crate) const FLASH_AT: usize = 65536;

/// A directory with cards and images, and the program to run in it.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

/// What one command did.
pub(crate) struct CliRun {
    typed: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// An image for the owner's card under another PSID, `oem.bin`.
    pub(crate) fn oem_image(&self, psid: &str) {
        let like = "mcx311a-2.42.5000";
        self.run(&["sim", "image", "oem.bin", "--like", like, "--psid", psid]).exits(0);
    }

    /// The owner's card (`card.cx3`, non-failsafe, 2.35.5100) and the image for it (`new.bin`).
    pub(crate) fn owner() -> Self {
        static MADE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
        Self::with(&MADE, "mcx311a")
    }

    /// A failsafe Pro card (`card.cx3`, 2.36.5150) and an image for it (`new.bin`).
    pub(crate) fn pro() -> Self {
        static MADE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
        Self::with(&MADE, "mcx312b")
    }

    /// A card of `board` and its newest image, made by the program once and copied.
    fn with(made: &OnceLock<[Vec<u8>; 2]>, board: &str) -> Self {
        let sandbox = Self::new();
        let files = ["card.cx3", "new.bin"];
        let [card, image] = made.get_or_init(|| {
            let model = format!("{board}-2.42.5000");
            sandbox.run(&["sim", "create", "card.cx3", "--board", board]).exits(0);
            sandbox.run(&["sim", "image", "new.bin", "--like", &model]).exits(0);
            files.map(|file| sandbox.read(file))
        });
        sandbox.write("card.cx3", card);
        sandbox.write("new.bin", image);
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Flash contents of a card file.
    pub(crate) fn flash(&self, card: &str) -> Vec<u8> {
        self.read(card)[FLASH_AT..].to_vec()
    }

    /// The program, ready to run: nothing of the environment but where programs are.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cx3flash"));
        self.prepare(&mut command);
        command.args(args);
        command
    }

    /// Sets directory and environment of a run.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("XDG_STATE_HOME", self.path("state"))
            // A test must never meet a real card of the machine it runs on.
            .env("CX3FLASH_ROOT", self.path("host"))
            .stdin(Stdio::null());
    }

    pub(crate) fn run(&self, args: &[&str]) -> CliRun {
        CliRun::of(self.command(args), format!("cx3flash {}", args.join(" ")))
    }

    /// On `card.cx3`.
    pub(crate) fn card(&self, args: &[&str]) -> CliRun {
        let mut all = vec!["-d", "sim:card.cx3"];
        all.extend(args);
        self.run(&all)
    }

    /// A line of shell, with `cx3flash` in the path.
    pub(crate) fn shell(&self, line: &str) -> CliRun {
        let mut command = Command::new("sh");
        self.prepare(&mut command);
        let program = Path::new(env!("CARGO_BIN_EXE_cx3flash"));
        let mut path = program.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path).args(["-c", line]);
        CliRun::of(command, line.to_owned())
    }

    /// The command must end with `code` and one clear line, and leave the flash of `card.cx3` as it
    /// was.
    pub(crate) fn refuses(&self, args: &[&str], code: i32) -> CliRun {
        let before = self.flash("card.cx3");
        let ran = self.card(args).exits(code);
        assert!(before == self.flash("card.cx3"), "the flash changed\n{ran}");
        ran.one_clear_line()
    }
}

impl CliRun {
    pub(crate) fn of(mut command: Command, typed: String) -> Self {
        let output = command.output().unwrap();
        Self {
            typed,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "exit code {code} was expected\n{self}");
        self
    }

    /// stdout contains `text`.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}\n{self}");
        self
    }

    /// stderr contains `text`.
    #[track_caller]
    pub(crate) fn reports(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}\n{self}");
        self
    }

    /// Exactly one `error:` line, at most one `hint:` line after it, no panic, no control
    /// characters.
    #[track_caller]
    pub(crate) fn one_clear_line(self) -> Self {
        let errors = self.stderr.lines().filter(|l| l.starts_with("error: ")).count();
        let hints = self.stderr.lines().filter(|l| l.starts_with("hint: ")).count();
        assert!(errors == 1 && hints <= 1, "not one clear line\n{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        assert!(!self.stderr.contains('\u{1b}'), "{self}");
        self
    }

    /// stdout is one JSON document that fits the published schema, and its `exit` is the exit code.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let document: serde_json::Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not one JSON document: {e}\n{self}"));
        assert_fits_schema(&document);
        assert!(document["schema"] == 2, "{self}");
        assert!(document["exit"] == self.code, "{self}");
        let failed = !matches!(self.code, 0 | 2);
        assert!(document["error"].is_null() != failed, "{self}");
        document
    }

    /// stdout is as in `tests/golden/NAME.txt`. `CX3FLASH_BLESS=1` writes it there instead.
    #[track_caller]
    pub(crate) fn golden(self, name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
        if std::env::var_os("CX3FLASH_BLESS").is_some_and(|v| v == "1") {
            std::fs::write(&path, &self.stdout).unwrap();
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            wanted == self.stdout,
            "differs from {} (CX3FLASH_BLESS=1 takes it over)\n--- wanted\n{wanted}\n{self}",
            path.display()
        );
        self
    }
}

/// `document` fits the schema of the documents, and has no field that the schema lacks.
#[track_caller]
pub(crate) fn assert_fits_schema(document: &serde_json::Value) {
    static VALIDATOR: OnceLock<jsonschema::Validator> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| {
        let mut schema = cx3flash::cli::json::schema(None).unwrap();
        close(&mut schema);
        jsonschema::draft202012::new(&schema).unwrap()
    });
    let errors: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{}\n{document:#}", errors.join("\n"));
}

/// Forbids fields that are not in the schema, which a user must accept.
fn close(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(map) => {
            if map.contains_key("properties") && map.get("type").is_some_and(|t| t == "object") {
                map.insert("additionalProperties".into(), false.into());
            }
            map.values_mut().for_each(close);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

impl std::fmt::Display for CliRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "$ {}\n--- exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.typed, self.code, self.stdout, self.stderr
        )
    }
}
