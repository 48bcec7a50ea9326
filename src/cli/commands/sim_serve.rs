//! `sim serve`: a card file for a virtual machine.

use super::{Answer, Ctx, sim};
use crate::cli::args_sim::{ServeArgs, Time};
use crate::cli::failure::Failure;
use crate::job::Code;
use crate::sim::serve::{Pace, ServeError, Server};

pub(super) fn run(ctx: &mut Ctx<'_>, args: &ServeArgs) -> Result<Answer, Failure> {
    let card = sim::open(&args.file)?;
    let pace = match args.time {
        Time::Fast => Pace::Fast,
        Time::Wall => Pace::Wall,
    };
    let mut server = Server::bind(card.clone(), pace, &args.socket, args.control.as_deref())
        .map_err(|e| failure(&e))?;
    ctx.out.text(&format!(
        "serving sim:{} on {}; {}\n",
        args.file.display(),
        args.socket.display(),
        sim::running_text(&card.running())
    ));
    server.run().map_err(|e| failure(&e))?;
    Ok(Answer::done(sim::info_json(&args.file, &card)))
}

fn failure(error: &ServeError) -> Failure {
    let code = match error {
        ServeError::InUse { .. } => Code::Exists,
        ServeError::Listen { .. } | ServeError::Io { .. } => Code::FileUnwritable,
    };
    Failure::from_error(code, error)
}
