fn main() -> anyhow::Result<()> {
    use hwtests::*;
    let t = std::time::Instant::now();
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap();
    let p = provision::Provisions::make(target)?;
    println!("provisioned {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let m = guest::Machine {
        iommu: true,
        ..Default::default()
    };
    let mut g = guest::Guest::boot(&p, &p.dir.join("guests/try"), &m, &Default::default(), 0)?;
    println!("boot {:?}", t.elapsed());
    for a in std::env::args().skip(1) {
        let r = g.run(&a, std::time::Duration::from_secs(20))?;
        println!("{} -> {}\n{}", a, r.code, r.all());
    }
    Ok(())
}
