use super::{Line, Wrong, parse};
use crate::flint::commands::Command;

fn line(typed: &str) -> Result<Line, Wrong> {
    let words: Vec<String> = typed.split(' ').map(str::to_owned).collect();
    parse(&words)
}

fn complaint(typed: &str) -> String {
    match line(typed) {
        Err(Wrong::Usage { stdout, stderr, .. }) => format!("{stdout}{stderr}"),
        Err(Wrong::Said(text)) => text,
        other => panic!("{typed}: {other:?}"),
    }
}

#[test]
fn a_flag_is_known_by_one_spelling_only() {
    for typed in [
        "-i f q",
        "-image f q",
        "--image f q",
        "--image=f q",
        "-image=f q",
        "-if q",
        "-im f q",
        "-y -i f q",
    ] {
        let line = line(typed).unwrap_or_else(|e| panic!("{typed}: {e:?}"));
        assert_eq!(line.image.as_deref(), Some("f".as_ref()), "{typed}");
        assert_eq!(line.command.map(|r| r.command), Some(Command::Query));
    }
    assert!(line("-nof -i f q").unwrap().burn.nofs);
    assert!(line("-no -i f q").unwrap().no);
    assert!(line("-apc -i f q").unwrap().burn.allow_psid_change);
}

#[test]
fn an_unclear_flag_is_guessed() {
    assert!(complaint("-i f -n q").contains("ambiguous"));
    assert!(complaint("-i f -use_image q").contains("ambiguous"));
    assert!(complaint("-i f -x q").contains("unrecognized option `-x'"));
    assert!(complaint("-i f --nosuch q").contains("unrecognized option `--nosuch'"));
    assert!(complaint("-i").contains("requires an argument -- i"));
    assert!(complaint("-i f -guid q").contains("`-guid' requires an argument"));
}

#[test]
fn numbers_are_misread() {
    let ids = line("-guid 0x10 -mac 20 sg").unwrap().burn.ids;
    assert_eq!(ids.guids.unwrap().map(|g| g.0), [16, 17, 18, 19]);
    assert_eq!(ids.macs.unwrap().map(|m| m.0), [32, 33]);
    let ids = line("-guids 1,2 3 4 -macs 5 6 sg").unwrap().burn.ids;
    assert_eq!(ids.guids.unwrap().map(|g| g.0), [1, 2, 3, 4]);
    assert_eq!(ids.macs.unwrap().map(|m| m.0), [5, 6]);
    assert!(complaint("-guids 1 2 q").contains("Too few arguments. Expected: 4 , Received: 2"));
    assert!(complaint("-macs 1 2 3 q").contains("Too many arguments. Expected: 2 , Received: 3"));
    assert!(complaint("-guid zz q").contains("(zz)"));
    assert!(complaint("-mac 00:02:c9:00:00:01 q").contains("Invalid Guid/Mac/Uid"));
    assert!(complaint("-guid 123456789012345678 q").contains("out of range"));
    let both = line("-guid 1 -guids 1 2 3 4 sg").unwrap().given;
    assert!(both.guid && both.guids && !both.mac);
}

#[test]
fn what_is_no_command_is_carried_out() {
    assert_eq!(complaint("nonsense"), "No options found. \n");
    assert_eq!(complaint("-i f"), "No command found.\n");
    assert!(complaint("-i f nonsense").starts_with("Invalid command: nonsense\n"));
    assert!(complaint("-i f q -y").contains("flags after command"));
    assert!(complaint("-qq full q").contains("non-option ARGV-elements full"));
    assert!(matches!(line("-h"), Err(Wrong::Help)));
    assert!(matches!(line("-i f -v q"), Err(Wrong::Version)));
    assert!(line("-d x -clear_semaphore").unwrap().clear_semaphore);
}
