# A CycloneDX 1.5 document from cargo's metadata; see `linked`.
($linked[0] | map({key: "\(.name) \(.version)", value: true}) | from_entries) as $in
| ($metadata[0].packages | map(select($in["\(.name) \(.version)"]))) as $packages
| def purl: if .name == "cx3flash" then "pkg:cargo/cx3flash@\($version)" else "pkg:cargo/\(.name)@\(.version)" end;
  ($packages | map({key: .id, value: purl}) | from_entries) as $names
| def component: {
    type: "library",
    "bom-ref": purl,
    name,
    version,
    purl: purl,
    scope: "required",
    licenses: [{expression: (.license // "NOASSERTION" | gsub("/"; " OR "))}]
  }
  + (if .repository then {externalReferences: [{type: "vcs", url: .repository}]} else {} end)
  + ($digests[0]["\(.name) \(.version)"] as $digest
     | if $digest then {hashes: [{alg: "SHA-256", content: $digest}]} else {} end);
{
  "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
  bomFormat: "CycloneDX",
  specVersion: "1.5",
  version: 1,
  metadata: {
    timestamp: $time,
    component: (
      $packages[] | select(.name == "cx3flash") | component
      + {type: "application", version: $version, description, properties: [{name: "rust:target", value: $triple}]}
      | del(.scope)
    )
  },
  components: (
    [$packages[] | select(.name != "cx3flash") | component]
    + [{
        type: "library", "bom-ref": "rust-std@\($rust)", name: "rust-std", version: $rust, scope: "required",
        licenses: [{expression: "MIT OR Apache-2.0"}]
      }]
    | sort_by(.["bom-ref"])
  ),
  dependencies: (
    [$metadata[0].resolve.nodes[] | select($names[.id]) | {
      ref: $names[.id],
      dependsOn: (
        [.deps[] | select(any(.dep_kinds[]; .kind == null)) | $names[.pkg] | select(.)]
        + (if $names[.id] | startswith("pkg:cargo/cx3flash@") then ["rust-std@\($rust)"] else [] end)
        | unique
      )
    }]
    | sort_by(.ref)
  )
}
