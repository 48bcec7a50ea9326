use cx3flash::flash::Erased;

fn order(erased: Erased<'_>) {
    let _ = erased.verify(&mut ());
}

fn main() {}
