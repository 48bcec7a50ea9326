//! P2 by the compiler: illegal orders of the machine do not build.

#[test]
fn illegal_orders_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
