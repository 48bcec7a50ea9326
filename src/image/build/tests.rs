use super::*;

#[test]
fn scratch() {
    for (n, r) in [
        ("d", Recipe::default()),
        ("a", Recipe::mcx311a_2_42_5000()),
        ("b", Recipe::mcx311a_2_35_5100()),
        ("c", Recipe::mcx312b_2_42_5000()),
        ("e", Recipe::mcx312b_2_36_5150()),
    ] {
        std::fs::write(format!("/tmp/{n}.bin"), build(&r).unwrap()).unwrap();
    }
}
