use cx3flash::flash::{Signature, Written};

fn order(written: Written<'_>, signature: &Signature) {
    let _ = written.commit(signature, &mut ());
}

fn main() {}
