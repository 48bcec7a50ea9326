//! An image store, and the choice of an image from it.

use super::table::Table;
use crate::cli::page::Page;
use crate::escape;
use crate::job::{ImageStore, LeftOutImage, StoreChoice, StoredImage, UnreadFile};
use crate::plan::{ImageStatus, LeftOutReason};
use crate::words::counted;
use std::collections::BTreeMap;

/// Files of one kind that are listed with a choice; the others are counted.
const LISTED: usize = 8;

/// What a store holds.
pub(in crate::cli) fn images(store: &ImageStore) -> Page {
    let mut table = Table::new(["PSID", "FIRMWARE", "DATE", "STATUS", "PART", "CHIP"]);
    for image in &store.images {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let part = image.part_number.as_ref().or(image.description.as_ref());
        table.row(
            [
                image.psid.as_ref().map(ToString::to_string).unwrap_or_default(),
                image.fw_version.map(|version| version.to_string()).unwrap_or_default(),
                text(&image.release_date),
                status(image.status).to_owned(),
                part.map(ToString::to_string).unwrap_or_default(),
                text(&image.chip_family),
            ],
            details(image),
        );
    }
    let mut page = Page::default();
    if !store.images.is_empty() {
        page.append(&table.page());
        page.push_str("\n");
    }
    let valid = store.images.iter().filter(|image| image.status == ImageStatus::Valid).count();
    page.line(format_args!(
        "{}, {valid} valid; {}",
        counted(store.images.len(), "image"),
        counted(store.other_files as usize, "other file")
    ));
    unread(&mut page, &store.unread, 2 * LISTED);
    page
}

fn status(status: ImageStatus) -> &'static str {
    match status {
        ImageStatus::Valid => "valid",
        ImageStatus::Damaged => "damaged",
        ImageStatus::OtherFamily => "other",
    }
}

/// Its file, and why it is not valid.
fn details(image: &StoredImage) -> Vec<String> {
    let file = [escape::path(&image.file)].into_iter();
    file.chain(image.problem.as_ref().map(|why| format!("problem: {why}"))).collect()
}

fn unread(page: &mut Page, files: &[UnreadFile], most: usize) {
    for file in files.iter().take(most) {
        page.line(format_args!("not read: {} ({})", escape::path(&file.file), file.problem));
    }
    if files.len() > most {
        page.line(format_args!("not read: {} more", files.len() - most));
    }
}

/// The chosen image, and why the others were left out: the nearest ones a line each.
pub(in crate::cli) fn choice(choice: &StoreChoice) -> Page {
    let version = choice.fw_version.map(|version| version.to_string()).unwrap_or_default();
    let mut page = Page::of(format_args!(
        "chosen: {} ({}, {version})",
        escape::path(&choice.file),
        choice.psid
    ));
    let near = |image: &&LeftOutImage| image.reason < LeftOutReason::OtherPsid;
    let listed = choice.left_out.iter().filter(near).count().min(LISTED);
    for image in choice.left_out.iter().take(listed) {
        page.line(format_args!("left out: {image}"));
    }
    let mut counts: BTreeMap<LeftOutReason, usize> = BTreeMap::new();
    for image in choice.left_out.iter().skip(listed) {
        *counts.entry(image.reason).or_default() += 1;
    }
    for (reason, count) in counts {
        page.line(format_args!("left out: {}", counted_for(reason, count)));
    }
    unread(&mut page, &choice.unread, LISTED);
    page
}

fn counted_for(reason: LeftOutReason, count: usize) -> String {
    let images = counted(count, "image");
    match reason {
        LeftOutReason::Older => format!("{images} of older versions"),
        LeftOutReason::Same => format!("{images} with the same bytes"),
        LeftOutReason::Damaged => format!("{images}, damaged"),
        LeftOutReason::OtherSilicon => format!("{images} for other silicon"),
        LeftOutReason::NoVersion => format!("{images} without a version"),
        LeftOutReason::OtherPsid => format!("{images} for other PSIDs"),
        LeftOutReason::OtherFamily => format!("{images} for other families"),
    }
}
