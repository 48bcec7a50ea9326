use cx3flash::flash::Locked;

fn order(locked: Locked<'_>) {
    let _ = locked.write(&mut ());
}

fn main() {}
