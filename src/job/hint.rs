//! What to type next after a failure: the templates of `code.rs`, filled with what is known of the command.

use super::backup::MANIFEST;
use super::code::{
    AS_ROOT, Advice, BURN_ANOTHER, Code, IDENTITY_VALUES, IS_THERE, JOIN_PARTS, PROTECTION,
    RECOVER, RUN_AGAIN, WRITE_ANEW, WRITE_AS_IMAGE, WRITE_IMAGE, WriteAnew, check, needs_another,
    unpacked,
};
use super::exit::Exit;
use super::typed_line::{with_choice, with_option, words};
use super::{CardSelector, JobError, NotChosen, Outcome};
use crate::escape::{self, ForeignText};
use crate::host::{Bdf, HostError, InUse, JournalError, LeaseError, is_root};
use crate::image::{ArchiveError, Mac, RomError};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What an advice may name.
#[derive(Clone, Copy, Debug, Default)]
pub struct HintContext<'a> {
    /// The card as the user named it.
    pub card: Option<&'a CardSelector>,
    /// The image file of the command.
    pub image: Option<&'a Path>,
    /// The ROM file of the command.
    pub rom: Option<&'a Path>,
    /// The command as typed.
    pub typed: Option<&'a str>,
    /// `--key-file` as typed.
    pub key_file: Option<&'a Path>,
    /// The backup made before the failure.
    pub backup: Option<&'a Path>,
    /// PSID on the card (`none` where it has none) and in the image.
    pub psids: Option<(&'a str, &'a str)>,
    /// MAC of port 1 on the card and in the backup.
    pub macs: Option<(&'a str, &'a str)>,
    /// The image to name, of several that the command could mean.
    pub choice: Option<&'a Path>,
    /// The MAC of port 1 that `identity set` would write again.
    pub mac: Option<Mac>,
    /// Address of a card that may be gone.
    pub bdf: Option<Bdf>,
    /// Uses that can be allowed, as options.
    pub uses: Option<&'a str>,
    /// The process is not root's.
    pub unprivileged: bool,
}

impl HintContext<'_> {
    /// Nothing but the rights of this process.
    pub fn of_process() -> Self {
        Self { unprivileged: !is_root(), ..Self::default() }
    }

    /// The text for a `<name>` of a template.
    fn word(&self, name: &str) -> Option<String> {
        let path = |path: Option<&Path>| path.map(escape::shell_path);
        match name {
            "card" => Some(self.named().unwrap_or_else(|| "cx3flash".to_owned())),
            "named" => self.named(),
            "root" => Some(if self.unprivileged { "sudo " } else { "" }.to_owned()),
            "file" => match self.card? {
                CardSelector::Sim(file) => path(Some(file)),
                _ => None,
            },
            "bdf" => self.bdf.map(|bdf| bdf.to_string()),
            "image" => path(self.image),
            "rom" => path(self.rom),
            "backup" => path(self.backup),
            "typed" => self.typed.map(str::to_owned),
            "as_root" => self.as_root(),
            "recover" => self.typed.filter(|line| line.contains(" recover ")).map(str::to_owned),
            "on" => self.on_card(self.typed?),
            "choice" => path(self.choice),
            "chosen" => with_choice(&self.for_card()?, self.image, self.choice?),
            "mac" => self.mac.map(|mac| mac.to_string()),
            "uses" => self.uses.map(str::to_owned),
            "allowed" => Some(with_option(&self.for_card()?, self.uses?)),
            "psid" => self.psids.map(|(_, to)| escape::line(to).into_owned()),
            "macs" => self.macs.map(|(from, to)| format!("{from}:{to}")),
            "psids" => self.psids.map(|(from, to)| escape::shell_word(format!("{from}:{to}"))),
            _ => None,
        }
    }

    /// The program on this card. A real one is taken from its driver, which only root may do.
    fn named(&self) -> Option<String> {
        let card = self.card?;
        let root = if self.unprivileged && !card.is_sim() { "sudo " } else { "" };
        Some(format!("{root}cx3flash -d {}{}", card.shell_word(), self.key()))
    }

    /// What was typed, as root. `sudo` drops the environment, so the card is named.
    fn as_root(&self) -> Option<String> {
        let typed = self.typed?;
        let rest = typed.strip_prefix("cx3flash")?;
        let named = words(typed)
            .into_iter()
            .any(|word| word.starts_with("-d") || word.starts_with("--device") || word == "--all");
        Some(match self.card.filter(|_| !named) {
            Some(card) => format!("sudo cx3flash -d {}{rest}", card.shell_word()),
            None => format!("sudo {typed}"),
        })
    }

    /// This command line on the card.
    fn on_card(&self, line: &str) -> Option<String> {
        let rest = line.strip_prefix("cx3flash")?;
        let keyless = Self { key_file: None, ..*self };
        Some(if line.contains(" --key-file") { keyless.named()? } else { self.named()? } + rest)
    }

    /// What was typed; for the card that it is about where it was for all of them.
    fn for_card(&self) -> Option<String> {
        let words = words(self.typed?);
        let one: Vec<&str> = words.iter().copied().filter(|word| *word != "--all").collect();
        let line = one.join(" ");
        match one.len() < words.len() {
            true => self.on_card(&line),
            false => Some(line),
        }
    }

    /// The option with the key of a locked card.
    fn key(&self) -> String {
        self.key_file.map_or_else(String::new, |file| match file.as_os_str() == "-" {
            true => " --key-file -".to_owned(),
            false => format!(" --key-file {}", escape::shell_path(file)),
        })
    }

    /// The command as typed with this option: `<typed OPTION>`; `<burn OPTION>` and `<restore OPTION>` only if
    /// it is that command. `[name]` in the option stands for `<name>`.
    fn with(&self, name: &str) -> Option<String> {
        let (kind, option) = name.split_once(' ')?;
        let option = self.fill(&option.replace('[', "<").replace(']', ">"))?;
        match (kind, self.typed) {
            ("typed", Some(typed)) => Some(with_option(typed, &option)),
            (command, Some(typed)) => {
                let also = if command == "burn" { "plan" } else { command };
                let takes = words(typed).iter().any(|word| *word == command || *word == also);
                takes.then(|| with_option(&self.asked(typed, (also, command)), &option))
            }
            ("burn", None) => self.fill(&format!("<card> burn <image> {option}")),
            _ => None,
        }
    }

    /// The command restores a backup.
    fn restores(&self) -> bool {
        self.typed.is_some_and(|line| words(line).contains(&"restore"))
    }

    /// What was typed as a command with its question, on the card; one command is replaced by another.
    fn asked(&self, typed: &str, (from, to): (&str, &str)) -> String {
        const LEFT_OUT: [&str; 7] = ["-q", "--quiet", "-y", "--yes", "--json", "--full", "--all"];
        let words = words(typed).into_iter().filter(|word| !LEFT_OUT.contains(word));
        let words = words.map(|word| if word == from { to } else { word });
        let plain = words.collect::<Vec<_>>().join(" ");
        let named = plain.contains(" -d ");
        self.on_card(&plain).filter(|_| !named).unwrap_or(plain)
    }

    /// The first advice whose names are all known, and that is not what was typed.
    pub(super) fn first_of(&self, advice: Advice) -> Option<String> {
        let known = advice.iter().filter_map(|template| Some((template, self.fill(template)?)));
        // What was typed with another option, on a named card, or as root.
        const OTHERWISE: [&str; 4] = ["<typed", "<on>", "<as_root>", "<chosen>"];
        let mut other = known.filter(|(template, text)| {
            OTHERWISE.iter().any(|name| template.contains(name)) || !self.was_typed(text)
        });
        other.next().map(|(_, text)| text)
    }

    /// The advice is the command that failed.
    fn was_typed(&self, advice: &str) -> bool {
        const ANYWHERE: [&str; 6] = ["-q", "--quiet", "-y", "--yes", "--json", "-v"];
        let plain = |line: &str| -> String {
            line.replacen(&self.key(), "", usize::from(self.key_file.is_some()))
                .split(' ')
                .filter(|word| !ANYWHERE.contains(word))
                .fold(String::new(), |line, word| line + " " + word)
        };
        let (Some(typed), Some((_, advised))) = (self.typed, advice.rsplit_once("cx3flash "))
        else {
            return false;
        };
        let card = self
            .card
            .map_or_else(String::new, |card| format!("-d {}{} ", card.shell_word(), self.key()));
        plain(typed).ends_with(&plain(advised.strip_prefix(&card).unwrap_or(advised)))
    }

    pub(super) fn fill(&self, template: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('<') {
            let (name, after) = after.split_once('>')?;
            // `<image|IMAGE>` has a word for an image that is not known.
            let (name, default) = match name.split_once('|') {
                Some((name, default)) => (name, Some(default.to_owned())),
                None => (name, None),
            };
            text.push_str(before);
            text.push_str(&self.word(name).or_else(|| self.with(name)).or(default)?);
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }
}

impl Outcome {
    /// What to type next. What is left on the card counts more than the cause.
    pub fn hint(self, context: &HintContext<'_>) -> Option<String> {
        let advice = match (self.exit, self.code) {
            (Exit::OutcomeUnknown, _) => Code::OutcomeUnknown.advice(),
            // The card became silent behind the reading of its flash.
            (Exit::NeedsRecover | Exit::StillBoots, Code::CardGone)
            | (Exit::StillBoots, Code::ActivateFailed | Code::NotStarted) => self.code.advice(),
            (Exit::StillBoots, _) => RUN_AGAIN,
            // The image is valid, so `recover` would be refused.
            (Exit::NeedsRecover, Code::ActivateFailed) if context.backup.is_none() => BURN_ANOTHER,
            (Exit::NeedsRecover, _) if context.backup.is_some() => Code::FlashFailed.advice(),
            (Exit::NeedsRecover, _) => RECOVER,
            _ => self.code.advice(),
        };
        context.first_of(advice)
    }
}

impl WriteAnew {
    /// What to type next.
    pub(super) fn advice(self, context: &HintContext<'_>) -> Option<String> {
        match self {
            Self::OtherImage => context.first_of(WRITE_IMAGE),
            Self::SameImage(mac) => HintContext { mac, ..*context }.first_of(WRITE_ANEW),
        }
    }
}

impl JobError {
    /// What to type next. The backup and the PSIDs of the context come from the error.
    pub fn hint(&self, context: &HintContext<'_>) -> Option<String> {
        let mut context = *context;
        context.backup = self.backup();
        context.bdf = self.bdf();
        let named = context.bdf.map(|bdf| CardSelector::Host(bdf.to_string()));
        context.card = context.card.or(named.as_ref());
        if self.needs_root(context.unprivileged) {
            return context.first_of(AS_ROOT);
        }
        match self {
            Self::Host(HostError::InUse { uses, .. }) if uses.iter().any(|u| u.id.waivable()) => {
                let allowed = allow(uses);
                context.uses = allowed.as_deref();
                // Another use must end, and `doctor` has the command for it.
                let code = if allowed.is_some() { Code::CardInUse } else { Code::HostNotReady };
                return context.first_of(code.advice());
            }
            Self::BadIdentity { .. } => return context.first_of(IDENTITY_VALUES),
            Self::Protection(_) => return context.first_of(PROTECTION),
            Self::ImageFile { path, .. } | Self::RawDump { path } => {
                context.image.get_or_insert(path.as_path());
            }
            Self::NotChosen { why: NotChosen::NoPsid, .. } => {
                return context.first_of(Code::NoImageOnCard.advice());
            }
            Self::NotChosen { why: NotChosen::Several { files, .. }, .. } => {
                context.image = None;
                context.choice = files.first().map(PathBuf::as_path);
            }
            Self::NotChosen { store, .. } => {
                context.image = store.first().map(PathBuf::as_path);
            }
            Self::ImageUnsure { way, .. } => return way.advice(&context),
            Self::ReadFile { path, source }
                if path.ends_with(MANIFEST) && source.kind() == ErrorKind::NotFound =>
            {
                return context.first_of(Code::NotABackup.advice());
            }
            Self::SplitFile { split, .. } => {
                return Some(JOIN_PARTS.replace("<parts>", &split.joined()));
            }
            Self::RomFile { path, source: RomError::IsFirmware } => {
                context.image = Some(path.as_path());
                return context.first_of(WRITE_AS_IMAGE);
            }
            Self::ForeignFile { path, format, .. } => {
                context.image.get_or_insert(path.as_path());
                return context.first_of(unpacked(*format));
            }
            Self::Archive { source: ArchiveError::NoImage { unread: true, .. }, .. } => {
                return context.first_of(Code::ArchiveTooLarge.advice());
            }
            Self::Archive { path, source: ArchiveError::NoSuchMember { .. } } => {
                context.image = Some(path.as_path());
            }
            Self::Archive { path, source: ArchiveError::Several(images) } => {
                let mut named = path.clone().into_os_string();
                named.push("/");
                named.push(images.first()?.name.as_str());
                context.image = Some(path.as_path());
                context.choice = Some(Path::new(&named));
                return self.outcome().hint(&context);
            }
            Self::Refused { report } => {
                let psid = report.crossflash.as_ref().map(|c| &c.psid);
                context.psids = psid.and_then(|psid| {
                    let from = psid.card.as_ref().map_or("none", ForeignText::as_str);
                    Some((from, psid.image.as_ref()?.as_str()))
                });
                let macs = report.changes.iter().find(|change| change.field == "macs");
                context.macs = macs.and_then(|change| {
                    let (from, to) = (change.from.as_ref()?, change.to.as_ref()?);
                    Some((from.split(' ').next()?, to.split(' ').next()?))
                });
                // The image is on the flash, and its firmware does not run.
                if self.code() == Code::NotNeeded && report.from_version == report.to_version {
                    return context.first_of(IS_THERE);
                }
                if self.code() == Code::Refused {
                    // An option for one check does not help where another has none.
                    let ids = || report.refusing().map(|c| c.id);
                    let restores = context.restores();
                    let last = ids().find(|id| needs_another(*id, restores));
                    return last
                        .into_iter()
                        .chain(ids())
                        .find_map(|id| context.first_of(check(id)));
                }
            }
            // The flash was read after the stop, so the card answers again.
            Self::Stopped { .. } => {
                let exit = self.outcome().exit;
                if matches!(exit, Exit::StillBoots | Exit::NeedsRecover) {
                    return Outcome { exit, code: Code::FlashFailed }.hint(&context);
                }
            }
            _ => {}
        }
        self.outcome().hint(&context)
    }

    /// Whether root could have done it.
    fn needs_root(&self, unprivileged: bool) -> bool {
        let Self::Host(error) = self else { return false };
        let mut cause: Option<&dyn Error> = Some(error);
        let denied = std::iter::from_fn(|| {
            let this = cause?;
            cause = this.source();
            Some(this)
        })
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == ErrorKind::PermissionDenied);
        unprivileged && denied
            || matches!(
                error,
                HostError::Lease(
                    LeaseError::NotRoot { .. } | LeaseError::Journal(JournalError::NotRoot { .. })
                )
            )
    }

    /// The card whose journal the error is about.
    fn bdf(&self) -> Option<Bdf> {
        match self {
            Self::Host(HostError::Lease(error)) => match error {
                LeaseError::NotBootable { bdf }
                | LeaseError::Owed { bdf, .. }
                | LeaseError::Unclear { bdf, .. } => Some(*bdf),
                LeaseError::Journal(error) => error.bdf(),
                _ => None,
            },
            Self::NotPutBack { host, .. } => host.bdf.parse().ok(),
            _ => None,
        }
    }
}

/// The options that allow these uses; `None` when one of them cannot be allowed.
pub(super) fn allow(uses: &[InUse]) -> Option<String> {
    let mut ids: Vec<String> = uses
        .iter()
        .map(|used| used.id.waivable().then(|| format!("--allow {}", used.id.name())))
        .collect::<Option<_>>()?;
    ids.dedup();
    (!ids.is_empty()).then(|| ids.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{CardSelector, Code, HintContext, JobError, JournalError, LeaseError, Outcome};
    use crate::host::{Bdf, HostError, InUse, UseId};
    use crate::job::Exit;
    use std::path::Path;

    fn typed(line: &str) -> HintContext<'_> {
        HintContext { typed: Some(line), ..HintContext::default() }
    }

    #[test]
    fn names_in_a_hint_are_quoted_for_the_shell() {
        let context = HintContext {
            card: Some(&CardSelector::Sim("my card.cx3".into())),
            image: Some(Path::new("it's.bin")),
            ..HintContext::default()
        };
        assert_eq!(
            Outcome::from(Code::NotNeeded).hint(&context).as_deref(),
            Some(r"cx3flash -d 'sim:my card.cx3' burn 'it'\''s.bin'")
        );
    }

    #[test]
    fn a_port_that_would_remove_the_card_is_exit_4_with_the_way_on() {
        let error = JobError::PortRemovesCard { why: "port 0000:00:01.0 removes it".into() };
        assert_eq!(error.outcome().exit, Exit::Refused);
        let hint = error.hint(&HintContext::default());
        assert!(hint.is_some_and(|h| h.contains("power the machine")));
    }

    #[test]
    fn what_only_root_may_do_is_a_clear_message_with_the_way_on() {
        let path = "/var/lib/cx3flash/journal".into();
        let journals = JobError::from(LeaseError::Journal(JournalError::NotRoot { path }));
        assert!(journals.to_string().contains("only root"), "{journals}");
        let bdf: Bdf = "05:00.0".parse().unwrap();
        let card = JobError::from(LeaseError::NotRoot { bdf, driver: None });
        let source = std::io::ErrorKind::PermissionDenied.into();
        let refused = JobError::from(LeaseError::Refused { bdf, doing: "x".into(), source });
        let context = HintContext { unprivileged: true, ..typed("cx3flash host status") };
        for error in [journals, card, refused] {
            assert_eq!(error.outcome().exit, Exit::NotReady);
            let hint = error.hint(&context);
            assert_eq!(hint.as_deref(), Some("run it as root: sudo cx3flash host status"));
        }
        let restore = Outcome::from(Code::NotPutBack).hint(&context).unwrap();
        assert_eq!(restore, "sudo cx3flash host restore");
    }

    #[test]
    fn who_forgot_sudo_gets_the_whole_command_with_it() {
        let card = CardSelector::Host("enp1s0".into());
        let context = |line| HintContext {
            unprivileged: true,
            card: Some(&card),
            typed: Some(line),
            ..HintContext::default()
        };
        let bdf: Bdf = "05:00.0".parse().unwrap();
        let refused = JobError::from(LeaseError::NotRoot { bdf, driver: None });
        for line in ["cx3flash burn a.bin", "cx3flash -d enp1s0 burn a.bin"] {
            let hint = refused.hint(&context(line)).unwrap();
            assert_eq!(hint, "run it as root: sudo cx3flash -d enp1s0 burn a.bin", "{line}");
        }
        let next = Outcome::from(Code::HostNotReady).hint(&context("cx3flash query")).unwrap();
        assert!(next.ends_with(": sudo cx3flash -d enp1s0 doctor"), "{next}");
        let sim = CardSelector::Sim("a.cx3".into());
        let context = HintContext { card: Some(&sim), ..context("cx3flash query") };
        let next = Outcome::from(Code::HostNotReady).hint(&context).unwrap();
        assert!(next.ends_with(": cx3flash -d sim:a.cx3 doctor"), "{next}");
    }

    #[test]
    fn a_command_is_not_advised_to_who_typed_it() {
        let hint = |code: Code, line| Outcome::from(code).hint(&typed(line)).unwrap_or_default();
        assert_eq!(hint(Code::NotPutBack, "cx3flash query"), "cx3flash host restore");
        let after = hint(Code::NotPutBack, "cx3flash --json host restore -q");
        assert!(after.ends_with("cx3flash doctor"), "{after}");
        assert!(hint(Code::Protected, "cx3flash burn x").ends_with("flash protect --off"));
        let after = hint(Code::Protected, "cx3flash -d x flash protect --off --yes");
        assert!(after.ends_with("cx3flash flash protect"), "{after}");
    }

    #[test]
    fn an_option_of_a_hint_is_put_into_what_was_typed() {
        for (line, advised) in [
            ("cx3flash burn a.bin -y", "cx3flash burn a.bin --rom device"),
            ("cx3flash burn --rom image a.bin", "cx3flash burn a.bin --rom device"),
            ("cx3flash plan --rom=image a.bin", "cx3flash burn a.bin --rom device"),
            ("cx3flash burn -- -a.bin", "cx3flash burn --rom device -- -a.bin"),
            ("cx3flash burn a.bin --rom device", "cx3flash burn a.bin --rom none"),
        ] {
            let hint = Outcome::from(Code::RomForOther).hint(&typed(line)).unwrap();
            assert!(hint.ends_with(&format!(": {advised}")), "{line}: {hint}");
        }
        for line in
            ["cx3flash burn a.bin --change-psid A:B", "cx3flash burn --change-psid=A:B a.bin"]
        {
            let context = HintContext { psids: Some(("C", "D")), ..typed(line) };
            let hint = Outcome::from(Code::PsidDiffers).hint(&context).unwrap();
            assert!(hint.ends_with(": cx3flash burn a.bin --change-psid C:D"), "{hint}");
        }
    }

    #[test]
    fn every_use_that_can_be_allowed_is_in_the_hint_by_its_id() {
        let bdf = "05:00.0".parse().unwrap();
        let uses = |ids: &[UseId]| {
            let used = |id: &UseId| InUse { id: *id, detail: String::new() };
            JobError::Host(HostError::InUse { bdf, uses: ids.iter().map(used).collect() })
        };
        let hint = |ids: &[UseId]| uses(ids).hint(&typed("cx3flash -d x query")).unwrap();
        let both = hint(&[UseId::Bond, UseId::Address, UseId::Address]);
        assert!(both.ends_with("cx3flash -d x query --allow bond --allow address"), "{both}");
        // A machine that has the card must be shut down.
        assert!(hint(&[UseId::Bond, UseId::HeldByVm]).ends_with("cx3flash doctor"));
    }
}
