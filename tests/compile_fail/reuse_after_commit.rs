use cx3flash::flash::{Signature, Verified};

fn order(verified: Verified<'_>, signature: &Signature) {
    let _ = verified.commit(signature, &mut ());
    let _ = verified.commit(signature, &mut ());
}

fn main() {}
