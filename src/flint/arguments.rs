//! What flint finds wrong with the arguments of a command and with flags that do not go together, before
//! it opens anything; in flint's words and order (measured with 4.21).

use super::flags::{Invocation, base_zero};
use crate::escape;

type Complaint = Option<String>;

pub(super) fn unknown(line: &Invocation, name: &str, known: &str) -> Complaint {
    let word = line.args.first().filter(|word| *word != known)?;
    let word = escape::line(word);
    Some(format!(
        "-E- Unknown option \"{word}\" for the \"{name}\" command. you can use {known}.\n"
    ))
}

pub(super) fn compare(line: &Invocation) -> Complaint {
    let allowed = if line.has("silent") { 3 } else { 2 };
    (line.count() != allowed).then(|| {
        "The binary comparison command doesn't accept any flags, except device, image and silent mode.\n"
            .into()
    })
}

pub(super) fn set_vsd(line: &Invocation) -> Complaint {
    line.vsd.is_none().then(|| specify("sv", "\"-vsd\""))
}

/// No FS2 image has a time stamp; flint checks the value to set all the same.
pub(super) fn timestamp(line: &Invocation) -> Complaint {
    let operation = line.arg(0);
    let text = match (operation, line.args.len()) {
        ("query" | "reset", 1) => return None,
        ("query", _) => "query operation requires no arguments.\n",
        ("reset", _) => "erase operation requires no arguments.\n",
        ("set", count) if line.image.is_some() && count > 2 => {
            "too many arguments for set operation on image.\n"
        }
        ("set", count) if line.device.is_some() && count != 3 => {
            "set operation on device requires timestamp and FW version arguments.\n\n"
        }
        ("set", _) => match line.args.get(1) {
            Some(stamp) if !stamp.ends_with('Z') => {
                "Failed to parse timestamp: Timestamp timezone must be UTC. format should be: YYYY-MM-DDThh:mm:ssZ\n"
            }
            Some(stamp) if !stamp.starts_with(|c: char| c.is_ascii_digit()) => {
                "Failed to parse timestamp: input should be compliant to the following ISO 8601 format: \
                 YYYY-MM-DDThh:mm:ssZ\n"
            }
            _ => return None,
        },
        _ => "Unknown operation, allowed operations: query/set/reset.\n",
    };
    Some(format!("-E- {text}"))
}

/// `-d` and `-striped_image`.
pub(super) fn striped_card(line: &Invocation) -> Complaint {
    (line.device.is_some() && line.has("striped_image")).then(|| with("-device", "-striped_image"))
}

fn with(one: &str, other: &str) -> String {
    format!("-E- Cannot specify \"{one}\" flag with \"{other}\" flag.\n")
}

fn specify(command: &str, what: &str) -> String {
    format!("-E- For {command} command, Please specify {what}.\n")
}

/// `-guid` and `-guids`, or `-mac` and `-macs`.
fn same_ids_twice(line: &Invocation) -> Complaint {
    let mut pairs = [("guids", "guid"), ("macs", "mac")].into_iter();
    let (many, one) = pairs.find(|(many, one)| line.has(many) && line.has(one))?;
    Some(with(&format!("-{many}"), &format!("-{one}")))
}

pub(super) fn set_guids(line: &Invocation) -> Complaint {
    if let Some(word) = line.args.first().filter(|word| *word != "nocrc") {
        let invalid = match line.args.len() {
            1 => String::new(),
            _ => format!("-E- Invalid argument \"{}\"\n", escape::line(word)),
        };
        return Some(format!(
            "{invalid}-E- The sg parameter should be \"nocrc\", \"guids_num=<num> step_size=<size>\" or nothing\n"
        ));
    }
    let (guids, macs) = (line.ids.guids.is_some(), line.ids.macs.is_some());
    let what = match (guids, macs) {
        (false, false) if !line.has("uid") => {
            "GUIDs / MACs / UID (using command line flags -guid(s) / -mac(s) / -uid)"
        }
        (true, _) if line.has("uid") => {
            "either GUIDs / UIDs (using command line flags -guid(s) / -uid)"
        }
        (false, true) if line.has("uid") => {
            "either MACs / UIDs (using command line flags -mac(s) / -uid)"
        }
        _ => return same_ids_twice(line),
    };
    Some(specify("sg", what))
}

/// `burn` (docs/fs2.md#guid-flags).
pub(super) fn burn(line: &Invocation) -> Complaint {
    let (guids, macs) = (line.ids.guids.is_some(), line.ids.macs.is_some());
    let ids = guids || macs || line.has("uid");
    let what = if line.has("downstream_device_id_start_index")
        || line.has("num_of_downstream_devices")
    {
        Some("Flags 'cable_device_size'/'cable_device_index' relevant only for cable components.")
    } else if line.cable_delay || line.has("activate") || line.has("download_transfer") {
        Some(
            "Flags 'activate'/'download_transfer'/'activate_delay_sec' relevant only for cable components.",
        )
    } else if guids && line.has("uid") {
        Some("either GUIDs / UID (using command line flags -guid(s) / -uid )")
    } else if macs && line.has("uid") {
        Some("either MACs / UID (using command line flags -mac(s) / -uid )")
    } else {
        None
    };
    if let Some(what) = what {
        return Some(specify("burn", what));
    }
    if ids && line.has("use_image_guids") {
        return Some(with("GUIDs/UIDs/MACs", "-use_image_guids"));
    }
    if line.has("blank_guids") && line.has("use_image_guids") {
        return Some(with("-use_image_guids", "-blank_guids"));
    }
    if line.has("blank_guids") && ids {
        return Some(with("GUIDs/UIDs/MACs", "-blank_guids"));
    }
    if let Some(text) = same_ids_twice(line) {
        return Some(text);
    }
    if line.has("use_image_ps") && line.vsd.is_some() {
        return Some(with("-use_image_ps", "-vsd"));
    }
    if line.has("ignore_dev_data") && !line.has("nofs") {
        return Some(
            "-E- \"-nofs\" flag must be specified with \"-ignore_dev_data\" flag.\n".into(),
        );
    }
    (line.has("use_dev_rom") && line.has("use_image_rom"))
        .then(|| with("--use_dev_rom", "--use_image_rom"))
}

/// The address argument of `rb` and `rw`.
pub(super) fn address(line: &Invocation) -> Result<u32, String> {
    let word = line.arg(0);
    number(word).ok_or_else(|| format!("-E- Invalid address \"{}\"\n", escape::line(word)))
}

/// The size argument of `rb`.
pub(super) fn size(line: &Invocation) -> Result<u32, String> {
    let word = line.arg(1);
    number(word).filter(|n| n % 4 == 0).ok_or_else(|| {
        let word = escape::line(word);
        format!("-E- Invalid size \"{word}\", Length should be 4-bytes aligned.\n")
    })
}

fn number(word: &str) -> Option<u32> {
    u32::try_from(base_zero(word)?).ok()
}
