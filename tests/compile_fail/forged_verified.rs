use cx3flash::flash::{Evidence, Verified, Written};

fn forge(written: Written<'_>, evidence: Evidence) -> Verified<'_> {
    Verified(written.0, evidence)
}

fn main() {}
