//! What encoding and decoding a record costs, with header and checksum, by codec.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use registry_core::codec::{CodecId, decode_value, encode_value};
use registry_core::model::{Endpoint, ExecutionInfo, Protocol, ServiceEntry};
use registry_core::{Image, Record, Revision, Versioned};

/// An entry of the size that real ones have.
fn record() -> Versioned {
    let mut entry = ServiceEntry::new("checkout", "3.0.0-checkout");
    entry.execution = ExecutionInfo::DockerContainer {
        container_id: "4f6b2c0f8d1e".to_owned(),
        image: "registry.example.net/demo/checkout:3.0.0-checkout".to_owned(),
    };
    for (name, port) in [("grpc", 5050), ("metrics", 9464)] {
        entry.endpoints.push(Endpoint {
            name: name.to_owned(),
            address: ([10, 21, 146, 48], port).into(),
            protocol: Protocol::new("grpc"),
        });
    }
    let needed = [
        "cart",
        "currency",
        "email",
        "flagd",
        "kafka",
        "payment",
        "product-catalog",
        "shipping",
    ];
    entry.depends_on = needed.map(str::to_owned).to_vec();
    let image = Image::new(Record::Service(entry)).expect("the entry keeps every rule");
    Versioned {
        image,
        created: Revision(1),
        modified: Revision(7),
    }
}

fn codec(criterion: &mut Criterion) {
    let record = record();
    for codec in [CodecId::Fcode, CodecId::Bincode] {
        let bytes = encode_value(codec, &record);
        let size = bytes.len();
        criterion.bench_function(&format!("{codec}/encode/{size}B"), |bencher| {
            bencher.iter(|| encode_value(codec, black_box(&record)));
        });
        criterion.bench_function(&format!("{codec}/decode/{size}B"), |bencher| {
            bencher.iter(|| decode_value(record.key(), black_box(&bytes)));
        });
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
