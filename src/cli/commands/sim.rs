//! `sim …`: card files and test images.

use super::{CommandError, Ctx, Ran, create_new, write};
use crate::cli::args::sim::{
    BootAddress, BootOrder, CreateArgs, GatewayReadback, ImageArgs, ImageShape, PaceArg, PciReset,
    ServeArgs, SimCommand,
};
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::json::results::{SimImageOutcome, SimOutcome};
use crate::cli::page::Page;
use crate::cli::text::{kib, name_of, time};
use crate::escape;
use crate::image::{Contents, FlashAddr, Half, Recipe, build, striped};
use crate::job::{self, CardSelector, Code, HintContext, IdentityChange, JobError};
use crate::sim::serve::{ServeError, ServePace, Server};
use crate::sim::{BootOutcome, CardFileError, CardSpec, Fault, SimCard};
use crate::words::counted;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(super) fn run(ctx: &mut Ctx<'_>, command: &SimCommand) -> Ran {
    match command {
        SimCommand::Create(args) => create(ctx, args),
        SimCommand::Info { file } => info(ctx, file),
        SimCommand::Fault { file, fault } => inject(ctx, file, fault),
        SimCommand::PowerCycle { file } => {
            let card = open(file)?;
            card.power_cycle();
            let text = Page::of(format_args!("power cycled; {}", running_text(&card.running())));
            ctx.done(&text, &described(file, &card))
        }
        SimCommand::Image(args) => image(ctx, args),
        SimCommand::Serve(args) => serve(ctx, args),
    }
}

fn open(path: &Path) -> Result<SimCard, Failure> {
    SimCard::open(path).map_err(|e| card_file_failure(e, path))
}

fn card_file_failure(error: CardFileError, path: &Path) -> Failure {
    let context = HintContext {
        card: Some(&CardSelector::Sim(path.to_owned())),
        ..HintContext::of_process()
    };
    Failure::of_job(&JobError::CardFile(error), &context)
}

fn create(ctx: &mut Ctx<'_>, args: &CreateArgs) -> Ran {
    let mut spec = CardSpec::named(&args.board).ok_or_else(|| {
        Failure::new(Code::Usage, format!("board {} cannot be simulated", args.board))
    })?;
    spec.chip = args.part.unwrap_or(spec.chip);
    spec.revision = args.revision.unwrap_or(spec.revision);
    spec.secure_host = args.secure_host;
    spec.write_only_address = args.config_gateway == GatewayReadback::WriteOnly;
    spec.boot_ms = args.boot_ms;
    spec.pci_reset_boots = args.pci_reset == PciReset::Boots;
    spec.boots_highest_first = args.boot_order == BootOrder::HighestFirst;
    spec.honours_boot_address = args.boot_address == BootAddress::Honoured;
    let address = || job::free_address(&args.file, &ctx.host);
    spec.bdf = args.bdf.clone().unwrap_or_else(address);
    let flash = if args.blank { Vec::new() } else { flash_of(ctx, args, &spec)? };
    let card =
        SimCard::create(&args.file, spec, &flash).map_err(|e| card_file_failure(e, &args.file))?;
    let spec = card.spec();
    let mut text = Page::of(format_args!(
        "{}  {} at {}, {}; {}",
        CardSelector::Sim(args.file.clone()),
        spec.board,
        spec.bdf,
        name_of(&spec.chip),
        running_text(&card.running())
    ));
    if spec.secure_host {
        text.line(format_args!(
            "locked (secure host); the key is {:016x}",
            SimCard::SECURE_HOST_KEY
        ));
    }
    ctx.done(&text, &described(&args.file, &card))
}

/// The flash of a new card: the image in the even half, with the requested identity.
fn flash_of(
    ctx: &mut Ctx<'_>,
    args: &CreateArgs,
    spec: &CardSpec,
) -> Result<Vec<u8>, CommandError> {
    let bytes = match &args.image {
        Some(path) => ctx.image(path)?.contents.bytes().to_vec(),
        None => built(&board_recipe(spec))?,
    };
    let bytes = stamped(bytes, &write::identity_change(ctx, &args.identity)?)?;
    Ok(striped(&bytes, Half::Even, spec.chip.size()).map_err(|e| build_failure(&e))?)
}

/// The default image of a simulated board.
fn board_recipe(spec: &CardSpec) -> Recipe {
    let shape =
        if spec.hw_id == 0x1F7 { Recipe::mcx312b_2_36_5150() } else { Recipe::mcx311a_2_35_5100() };
    let mut recipe = Recipe { supported_hw: vec![(spec.hw_id, spec.revision)], ..shape };
    if spec.secure_host {
        // As the image of such a card has it (docs/hardware.md#locked-cards).
        recipe.hw_access_key = Some(SimCard::SECURE_HOST_KEY);
        recipe.ini = recipe.ini.map(|ini| ini.replace("[HCA]\n", "[HCA]\ncr_protection_en = 1\n"));
    }
    recipe
}

fn built(recipe: &Recipe) -> Result<Vec<u8>, Failure> {
    build(recipe).map_err(|e| build_failure(&e))
}

fn build_failure(error: &dyn std::error::Error) -> Failure {
    Failure::from_error(Code::Recipe, error).about("the image cannot be built")
}

/// The image with the given values of an identity; the others stay.
fn stamped(bytes: Vec<u8>, change: &IdentityChange) -> Result<Vec<u8>, Failure> {
    if *change == IdentityChange::default() {
        return Ok(bytes);
    }
    let patch = |e: &dyn std::error::Error| {
        Failure::from_error(Code::Patch, e).about("the identity cannot be written")
    };
    let contents = Contents::from_file(&bytes).map_err(|e| patch(&e))?;
    let old = job::identity_in(contents.image()).map_err(|e| patch(&e))?;
    let identity = change.apply(&old.identity);
    let patched = contents.with_identity(&identity).map_err(|e| patch(&e))?;
    Ok(patched.bytes().to_vec())
}

fn inject(ctx: &mut Ctx<'_>, path: &Path, text: &str) -> Ran {
    let fault: Fault = serde_json::from_str(text).map_err(|e| {
        Failure::from_error(Code::Fault, &e).about(format!("{text} is not a fault"))
    })?;
    let card = open(path)?;
    card.inject(fault.clone());
    let text = Page::of(format_args!("armed: {}", json::result(&fault)));
    ctx.done(&text, &described(path, &card))
}

fn running_text(outcome: &BootOutcome) -> String {
    match outcome {
        BootOutcome::Image { start, version } => {
            format!("runs {version} from 0x{:x}", start.0)
        }
        BootOutcome::Hung { start, version } => {
            format!("has loaded {version} from 0x{:x}, which does not run", start.0)
        }
        BootOutcome::Recovery => "in recovery mode".into(),
    }
}

fn info(ctx: &mut Ctx<'_>, path: &Path) -> Ran {
    let card = open(path)?;
    let spec = card.spec();
    let counters = card.counters();
    let mut out = Page::default();
    out.line(format_args!(
        "board       {} at {}, hardware id 0x{:x} revision {}, PCI id 15b3:{:04x}",
        spec.board,
        spec.bdf,
        spec.hw_id,
        spec.revision,
        card.pci_device_id()
    ));
    out.line(format_args!("flash       {}, {}", name_of(&spec.chip), kib(spec.chip.size().into())));
    if spec.secure_host {
        out.push_str("CR-space    locked (secure host)\n");
    }
    if spec.boot_ms > 0 {
        out.line(format_args!(
            "boot        {} ms; a PCI reset {}",
            spec.boot_ms,
            if spec.pci_reset_boots { "restarts the chip" } else { "does not restart the chip" }
        ));
    }
    if spec.boots_highest_first {
        out.push_str("boot ROM    takes the valid image at the highest address\n");
    }
    if !spec.honours_boot_address {
        out.push_str("boot ROM    ignores the boot address register\n");
    }
    out.line(format_args!("now         {}", running_text(&card.running())));
    out.line(format_args!("power-on    {}", running_text(&card.boot_outcome())));
    out.line(format_args!("reset       {}", running_text(&card.reset_outcome())));
    out.line(format_args!("semaphores  held: {:?}", card.semaphores_held()));
    out.line(format_args!(
        "counters    {}, {}, {}, {},",
        counted(counters.bar_reads, "BAR read"),
        counted(counters.bar_writes, "BAR write"),
        counted(counters.gateway_commands, "gateway command"),
        counted(counters.spi_bytes, "SPI byte"),
    ));
    out.line(format_args!(
        "            {} of 4 KiB, {} of 64 KiB, {}, {}, {} card time",
        counted(counters.erases_4k, "erase"),
        counters.erases_64k,
        counted(counters.programs, "program"),
        counted(counters.polls, "poll"),
        time(std::time::Duration::from_nanos(counters.time_ns))
    ));
    for fault in card.faults() {
        out.line(format_args!("fault       {}", json::result(&fault)));
    }
    for misuse in card.misuse() {
        out.line(format_args!("misuse      access {}: {}", misuse.access, misuse.what));
    }
    ctx.done(&out, &described(path, &card))
}

fn described(path: &Path, card: &SimCard) -> SimOutcome {
    SimOutcome {
        device: CardSelector::Sim(path.to_owned()),
        spec: card.spec(),
        pci_device_id: card.pci_device_id(),
        serial: card.serial(),
        running: card.running(),
        power_on: card.boot_outcome(),
        reset: card.reset_outcome(),
        silent: card.is_silent(),
        semaphores_held: card.semaphores_held(),
        counters: card.counters(),
        mutations: card.mutations(),
        faults: card.faults(),
        misuse: card.misuse(),
        misuse_count: card.misuse_count(),
    }
}

fn image(ctx: &mut Ctx<'_>, args: &ImageArgs) -> Ran {
    let mut recipe = match (&args.recipe, args.like) {
        (Some(path), _) => read_recipe(ctx, path)?,
        (None, None) => Recipe::default(),
        (None, Some(ImageShape::Mcx311aOld)) => Recipe::mcx311a_2_35_5100(),
        (None, Some(ImageShape::Mcx311aNew)) => Recipe::mcx311a_2_42_5000(),
        (None, Some(ImageShape::Mcx312bOld)) => Recipe::mcx312b_2_36_5150(),
        (None, Some(ImageShape::Mcx312bNew)) => Recipe::mcx312b_2_42_5000(),
    };
    if let Some(psid) = &args.psid {
        recipe.psid.clone_from(psid);
    }
    recipe.version = args.fw_version.unwrap_or(recipe.version);
    recipe.size = args.size.unwrap_or(recipe.size);
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    if let Some(path) = &args.rom {
        recipe.rom = Some(job::read_rom(path, &ctx.reading())?.bytes);
    }
    if args.no_rom {
        recipe.rom = None;
    }
    let bytes = built(&recipe)?;
    create_new(&args.out, &bytes)?;
    let text = Page::of(format_args!(
        "{}  {} {}, {} bytes",
        escape::path(&args.out),
        recipe.psid,
        recipe.version,
        bytes.len()
    ));
    let result = SimImageOutcome {
        file: escape::file_name(&args.out),
        psid: recipe.psid,
        fw_version: recipe.version,
        len: bytes.len(),
        start: FlashAddr(0),
    };
    ctx.done(&text, &result)
}

fn read_recipe(ctx: &Ctx<'_>, path: &Path) -> Result<Recipe, CommandError> {
    let bytes = job::read_bytes(path, &ctx.reading())?;
    let recipe = serde_json::from_slice(&bytes).map_err(|e| {
        Failure::from_error(Code::Recipe, &e)
            .about(format!("{} is not an image description", escape::path(path)))
    });
    Ok(recipe?)
}

fn serve(ctx: &mut Ctx<'_>, args: &ServeArgs) -> Ran {
    let card = open(&args.file)?;
    let pace = match args.time {
        PaceArg::Fast => ServePace::Fast,
        PaceArg::Wall => ServePace::Wall,
    };
    // Before there are sockets: a signal must not leave them behind.
    let stop = stop_signals().map_err(|e| {
        Failure::from_error(Code::FileUnwritable, &e).about("signals cannot be caught")
    })?;
    let mut server = Server::bind(card.clone(), pace, &args.socket, args.control.as_deref())
        .map_err(|e| serve_failure(&e))?;
    server.stop_on(stop);
    ctx.out.text(&Page::of(format_args!(
        "serving sim:{} on {}; {}",
        escape::path(&args.file),
        escape::path(&args.socket),
        running_text(&card.running())
    )));
    server.run().map_err(|e| serve_failure(&e))?;
    ctx.done(&Page::default(), &described(&args.file, &card))
}

/// Something can be read from it once SIGINT, SIGTERM or SIGHUP has come.
fn stop_signals() -> std::io::Result<UnixStream> {
    let (stop, signalled) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, signalled.try_clone()?)?;
    }
    Ok(stop)
}

fn serve_failure(error: &ServeError) -> Failure {
    let code = match error {
        ServeError::InUse { .. } | ServeError::NoSocket { .. } => Code::Exists,
        ServeError::Io { .. } => Code::FileUnwritable,
    };
    Failure::from_error(code, error)
}
