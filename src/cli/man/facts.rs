//! What manual pages have beyond the definitions of the parser: environment, files, and for each command
//! its examples and the commands that go with it.

use crate::escape;
use crate::host::{Host, UserDirs};

/// Date of the last change of what the pages contain, in their footers.
pub(super) const EDITED: &str = "2026-11-27";

/// Variables, and what each does.
pub(super) const ENVIRONMENT: [(&str, &str); 7] = [
    ("CX3FLASH_DEVICE", "The card when there is no `-d`."),
    ("CX3FLASH_BACKUP_DIR", "The directory of backups when there is no `--backup-dir` or `--out`."),
    ("XDG_STATE_HOME", "The directory of the user's state, an absolute path; for root as well."),
    (
        "CX3FLASH_LOG_DATA",
        "1: the log has flash contents and mailboxes as read. Without it they are \
                           logged as digests, because they contain MACs and serial numbers.",
    ),
    ("NO_COLOR", "Not empty: no colours."),
    (
        "CLICOLOR_FORCE",
        "Not empty and not 0: colours, also without a terminal. `NO_COLOR` is stronger.",
    ),
    ("CLICOLOR", "0: no colours."),
];

/// Files and directories of root, and what each holds.
pub(super) fn files() -> Vec<(String, String)> {
    let host = Host::system();
    let dirs = UserDirs::of_root(&host);
    let mut files = vec![
        (dirs.backups.clone(), "Backups, a directory each. Nothing is ever overwritten."),
        (dirs.state.join("cards"), "What cards have shown, by serial number: `selftest`."),
        (host.journal_dir(), "Journals of cards that were not given back: `host status`."),
        (host.lock_dir(), "Lock files of the cards in use."),
    ];
    files.extend(dirs.log.map(|log| (log, "Logs, one for each job, at most 64 MiB in all.")));
    files.into_iter().map(|(path, text)| (escape::path(path), text.to_owned())).collect()
}

/// Where these are for others than root.
pub(super) const FILES_OF_USERS: &str = "Backups, what cards have shown and logs of other users, and of root with `XDG_STATE_HOME`, are in \
     `$XDG_STATE_HOME/cx3flash`, without that variable in `~/.local/state/cx3flash`.";

/// A row of [`COMMANDS`].
pub(super) struct CommandFacts {
    /// As typed behind `cx3flash`.
    pub(super) command: &'static str,
    /// Command lines, and what each does.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// Commands to read about next.
    pub(super) related: &'static [&'static str],
}

const fn row(
    command: &'static str,
    examples: &'static [(&'static str, &'static str)],
    related: &'static [&'static str],
) -> CommandFacts {
    CommandFacts { command, examples, related }
}

/// Every command but the groups, whose pages have the examples of their commands.
pub(super) const COMMANDS: &[CommandFacts] = &[
    row(
        "list",
        &[
            ("cx3flash list", "Every card with its driver, IOMMU group and running firmware."),
            ("cx3flash --json list", "The same as one JSON document."),
        ],
        &["doctor", "query"],
    ),
    row(
        "doctor",
        &[("sudo cx3flash -d enp1s0 doctor", "What is missing before this card can be flashed.")],
        &["list", "selftest", "host status"],
    ),
    row(
        "selftest",
        &[
            (
                "sudo cx3flash -d enp1s0 selftest",
                "Test what is assumed of the card; the flash is only read.",
            ),
            (
                "sudo cx3flash -d enp1s0 selftest --reset",
                "The same, and what a reset of the card does.",
            ),
        ],
        &["doctor", "burn"],
    ),
    row(
        "query",
        &[
            ("sudo cx3flash -d enp1s0 query", "PSID and firmware version of the card."),
            ("cx3flash query fw-ConnectX3.zip --full", "Every field of the image in a download."),
        ],
        &["list", "verify"],
    ),
    row(
        "verify",
        &[
            (
                "cx3flash verify fw-ConnectX3.bin",
                "Whether a download is complete, and for which board it is.",
            ),
            ("sudo cx3flash -d enp1s0 verify", "Whether the images on the card are valid."),
            (
                "sudo cx3flash -d enp1s0 verify --against fw-ConnectX3.bin",
                "Whether the card holds this image; the identity may differ.",
            ),
        ],
        &["query", "recover"],
    ),
    row(
        "backup",
        &[(
            "sudo cx3flash -d enp1s0 backup --out /srv/backups",
            "A new directory below /srv/backups.",
        )],
        &["restore", "recover"],
    ),
    row(
        "plan",
        &[
            (
                "sudo cx3flash -d enp1s0 plan fw-ConnectX3.bin",
                "Every check, what changes, and which sectors a burn erases and writes.",
            ),
            (
                "sudo cx3flash -d enp1s0 plan fw-ConnectX3.bin --change-psid HP_0230240019:MT_1170110023",
                "What another board's image would change.",
            ),
        ],
        &["burn", "verify"],
    ),
    row(
        "burn",
        &[
            (
                "sudo cx3flash -d enp1s0 burn fw-ConnectX3.bin",
                "Plan, question, backup, burn; then the new firmware runs and the network is back.",
            ),
            (
                "sudo cx3flash -d 05:00.0 burn fw-ConnectX3.bin --no-activate",
                "The new firmware starts at the next power-on.",
            ),
            (
                "sudo cx3flash -d enp1s0 --json burn fw-ConnectX3.bin --yes",
                "For scripts: no question.",
            ),
        ],
        &["plan", "backup", "restore", "recover", "activate"],
    ),
    row(
        "images",
        &[
            ("cx3flash images ~/Downloads", "Every image in a directory, with PSID and version."),
            (
                "cx3flash --json images firmware.zip",
                "The images in an archive, as one JSON document.",
            ),
        ],
        &["plan", "burn", "verify"],
    ),
    row(
        "restore",
        &[(
            "sudo cx3flash -d enp1s0 restore /var/lib/cx3flash/backups/BACKUP",
            "The whole flash as it was when the backup was made.",
        )],
        &["backup", "recover"],
    ),
    row(
        "recover",
        &[(
            "sudo cx3flash -d 05:00.0 recover fw-ConnectX3.bin --identity BACKUP/identity.json",
            "An image on a card that does not boot, with the identity of a backup.",
        )],
        &["backup", "restore", "burn"],
    ),
    row(
        "activate",
        &[("sudo cx3flash -d enp1s0 activate", "Start the firmware that is on the flash.")],
        &["burn", "query"],
    ),
    row(
        "rom info",
        &[("sudo cx3flash -d enp1s0 rom info", "Versions and PCI images of the card's boot ROM.")],
        &["rom read"],
    ),
    row(
        "rom read",
        &[("cx3flash rom read rom.bin --image fw-ConnectX3.bin", "Copy the ROM out of an image.")],
        &["rom write"],
    ),
    row(
        "rom write",
        &[(
            "sudo cx3flash -d enp1s0 rom write rom.bin",
            "Replace the boot ROM; firmware and settings stay.",
        )],
        &["rom info", "rom remove"],
    ),
    row(
        "rom remove",
        &[("sudo cx3flash -d enp1s0 rom remove", "Network boot is off; the card starts faster.")],
        &["rom write", "burn"],
    ),
    row(
        "config show",
        &[
            (
                "cx3flash config show fw-ConnectX3.bin --summary",
                "SR-IOV, ports and BAR size of an image.",
            ),
            ("sudo cx3flash -d enp1s0 config show --key HCA.num_pfs", "One key of the card's ini."),
        ],
        &["config query"],
    ),
    row(
        "config query",
        &[("sudo cx3flash -d enp1s0 config query", "Every setting with default and next value.")],
        &["config set", "config reset"],
    ),
    row(
        "config set",
        &[(
            "sudo cx3flash -d enp1s0 config set SRIOV_EN=1 NUM_OF_VFS=8",
            "Virtual functions after the next start of the firmware.",
        )],
        &["config query", "config reset", "activate"],
    ),
    row(
        "config reset",
        &[("sudo cx3flash -d enp1s0 config reset", "Back to the defaults of the ini.")],
        &["config query", "config set"],
    ),
    row(
        "identity show",
        &[("sudo cx3flash -d enp1s0 identity show", "GUIDs, MACs and VSD of the card.")],
        &["identity set"],
    ),
    row(
        "identity set",
        &[(
            "sudo cx3flash -d enp1s0 identity set --mac e41d2ddd7860",
            "Port 1 gets this MAC, port 2 the next one; GUIDs and VSD stay.",
        )],
        &["identity show", "backup"],
    ),
    row(
        "flash info",
        &[("sudo cx3flash -d enp1s0 flash info", "Chip, size, status and write protection.")],
        &["flash protect"],
    ),
    row(
        "flash read",
        &[
            ("sudo cx3flash -d enp1s0 flash read flash.bin", "The whole flash as it is."),
            ("sudo cx3flash -d enp1s0 flash read ini.bin --from 0x1000 --len 4k", "A part of it."),
        ],
        &["backup", "flash info"],
    ),
    row(
        "flash protect",
        &[
            ("sudo cx3flash -d enp1s0 flash protect", "What is write protected."),
            ("sudo cx3flash -d enp1s0 flash protect --off", "Clear all protection before a burn."),
        ],
        &["flash info", "burn"],
    ),
    row(
        "unlock",
        &[
            ("sudo cx3flash -d enp1s0 unlock", "After a tool was killed: free its semaphore."),
            (
                "sudo cx3flash -d enp1s0 --key-file key.txt unlock",
                "Enable access to a locked card.",
            ),
        ],
        &["doctor"],
    ),
    row(
        "flint",
        &[
            ("sudo cx3flash flint -d enp1s0 query full", "As `flint -d CARD query full`."),
            (
                "sudo cx3flash flint -d 05:00.0 -i fw-ConnectX3.bin burn",
                "A burn with flint's questions.",
            ),
            (
                "sudo ln -s /usr/bin/cx3flash /usr/local/bin/flint",
                "Scripts that call flint use this program.",
            ),
        ],
        &["burn", "query", "verify"],
    ),
    row(
        "host status",
        &[("sudo cx3flash host status", "Cards that a killed process left on vfio-pci.")],
        &["host restore", "host forget"],
    ),
    row(
        "host restore",
        &[("sudo cx3flash host restore", "Give them back to their driver.")],
        &["host status", "host forget"],
    ),
    row(
        "host forget",
        &[(
            "sudo cx3flash host forget 0000:05:00.0",
            "The card was pulled and will not come back.",
        )],
        &["host status", "host restore"],
    ),
    row(
        "trace show",
        &[(
            "cx3flash trace show card.trace --accesses",
            "Every register access of a recorded command.",
        )],
        &["trace replay", "trace diff"],
    ),
    row(
        "trace replay",
        &[("cx3flash trace replay card.trace", "Repeat a recorded query without its card.")],
        &["trace show", "trace diff"],
    ),
    row(
        "trace diff",
        &[("cx3flash trace diff card.trace", "Where the simulated card behaves in another way.")],
        &["trace show", "trace replay"],
    ),
    row(
        "sim create",
        &[
            ("cx3flash sim create card.cx3", "An MCX311A-XCAT with firmware 2.35.5100."),
            ("cx3flash sim create pro.cx3 --board mcx312b", "A card whose flash has two halves."),
        ],
        &["sim image", "demo"],
    ),
    row(
        "sim info",
        &[("cx3flash sim info card.cx3", "What a card file holds, and what it has counted.")],
        &["sim create"],
    ),
    row(
        "sim fault",
        &[(
            r#"cx3flash sim fault card.cx3 '{"fault":"power_cut","op":100,"seed":1}'"#,
            "The power fails in the hundredth operation from now.",
        )],
        &["sim power-cycle"],
    ),
    row(
        "sim power-cycle",
        &[("cx3flash sim power-cycle card.cx3", "Start the card again after a fault.")],
        &["sim fault", "sim info"],
    ),
    row(
        "sim image",
        &[("cx3flash sim image new.bin --like mcx311a-2.42.5000", "A newer image for that card.")],
        &["sim create"],
    ),
    row(
        "sim serve",
        &[(
            "cx3flash sim serve card.cx3 --socket card.sock",
            "The card for a virtual machine of QEMU.",
        )],
        &["sim create"],
    ),
    row(
        "demo",
        &[("cx3flash demo", "What a newcomer runs first; no card is needed.")],
        &["sim create", "burn"],
    ),
    row(
        "help",
        &[("cx3flash help sim create", "The same as `cx3flash sim create --help`.")],
        &["man"],
    ),
    row(
        "completions",
        &[
            (
                "cx3flash completions bash | sudo tee /etc/bash_completion.d/cx3flash",
                "For bash with the package bash-completion.",
            ),
            (
                "cx3flash completions zsh | sudo tee /usr/local/share/zsh/site-functions/_cx3flash",
                "For zsh.",
            ),
            ("cx3flash completions fish > ~/.config/fish/completions/cx3flash.fish", "For fish."),
        ],
        &["man"],
    ),
    row(
        "schema",
        &[
            ("cx3flash schema", "The schema of all documents."),
            ("cx3flash schema rom info", "That of the documents of one command."),
        ],
        &[],
    ),
    row(
        "man",
        &[(
            "sudo cx3flash man --out /usr/local/share/man/man1",
            "Install the pages of a program that was built here.",
        )],
        &["completions"],
    ),
];
