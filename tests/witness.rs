mod support;
use support::*;
#[test]
fn scratch() {
    let f = flint::witness().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let p = dir.path().join("x.bin");
    for v in variants::all() {
        let b = match cx3flash::image::build(&v.recipe) {
            Ok(b) => b,
            Err(e) => {
                eprintln!("{} BUILD {e}", v.name);
                continue;
            }
        };
        assert!(
            v.recipe.size == 0 || b.len() == v.recipe.size as usize,
            "{}",
            v.name
        );
        std::fs::write(&p, &b).unwrap();
        let q = f.run(&p, &[], &["query", "full"]);
        let r = f.run(&p, &[], &["verify"]);
        eprintln!("== {} {} {}", v.name, q.code, r.code);
        eprintln!("{:?}", flint_text::query(&q.text));
        let t = flint_text::verify(&r.text, r.code);
        match t {
            Ok(t) => eprintln!(
                "{:?} {:?} {:?} {:?}",
                t.heading,
                t.notes,
                t.end,
                t.lines
                    .iter()
                    .filter(|l| l.verdict != "OK")
                    .collect::<Vec<_>>()
            ),
            Err(e) => eprintln!("{e}"),
        }
    }
    let mut rng = Rng(5);
    let base = cx3flash::image::build(&variants::small_failsafe()).unwrap();
    let t = std::time::Instant::now();
    for _ in 0..150 {
        let d = damage::damage(&mut rng, &base);
        std::fs::write(&p, &d.bytes).unwrap();
        let r = f.run(&p, &[], &["verify"]);
        let t = flint_text::verify(&r.text, r.code);
        eprint!("-- {} ", d.what);
        match t {
            Ok(t) => eprintln!(
                "{:?} {:?} {:?} {:?}",
                t.heading,
                t.notes,
                t.end,
                t.lines
                    .iter()
                    .filter(|l| l.verdict != "OK")
                    .collect::<Vec<_>>()
            ),
            Err(e) => eprintln!("{e}"),
        }
    }
    eprintln!("{:?}", t.elapsed());
}
