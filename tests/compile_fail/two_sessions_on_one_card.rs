use cx3flash::card::{Card, Clock};
use cx3flash::flash::Flash;

fn twice(card: &mut Card, clock: &dyn Clock) {
    let first = Flash::lock(card, clock);
    let second = Flash::lock(card, clock);
    drop((first, second));
}

fn main() {}
