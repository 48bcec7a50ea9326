use cx3flash::flash::{BootProbe, Locked, SectorPlan};

fn order<'c>(locked: Locked<'c>, plan: SectorPlan, probe: &'c dyn BootProbe) {
    let _ = locked.erase(plan.clone(), probe, &mut ());
    let _ = locked.erase(plan, probe, &mut ());
}

fn main() {}
