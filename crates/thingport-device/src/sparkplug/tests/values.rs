//! Every type of the standard, in the field it belongs to and in others.

use prost::Message;

use super::super::Settings;
use super::super::datatype::DataType;
use super::rig::{
    DataSetOut, ElementOut, MetadataOut, MetricOut, ParameterOut, PayloadOut, PropertyOut, Rig,
    RowOut, SetOut, SetsOut, TemplateOut, metric,
};

fn int(it: u32) -> MetricOut {
    MetricOut { int: Some(it), ..MetricOut::default() }
}

fn long(it: u64) -> MetricOut {
    MetricOut { long: Some(it), ..MetricOut::default() }
}

fn bytes(it: &[u8]) -> MetricOut {
    MetricOut { bytes: Some(it.to_vec()), ..MetricOut::default() }
}

/// What is kept of a metric `m` of this type in NDATA, or `unfit`.
fn kept(kind: Option<DataType>, metric: MetricOut) -> String {
    let mut rig = Rig::new(Settings::default());
    rig.run("NBIRTH seq=0 bdSeq:Int64=3");
    let metric = MetricOut { name: Some("m".into()), datatype: kind.map(|it| it as u32), ..metric };
    let payload =
        PayloadOut { timestamp: Some(5), metrics: vec![metric], seq: Some(0) }.encode_to_vec();
    let told = rig.publish("spBv1.0/G/NBIRTH/E", &payload);
    if told.contains("noted sparkplug.metric") {
        return "unfit".to_owned();
    }
    let (_, after) = told.split_once(" m@5=").unwrap_or(("", "nothing\n"));
    after.lines().next().unwrap_or_default().to_owned()
}

#[test]
#[expect(clippy::too_many_lines, reason = "rows")]
fn every_type_is_kept_as_the_table_has_it() {
    use DataType as K;
    let float = |it| MetricOut { float: Some(it), ..MetricOut::default() };
    let double = |it| MetricOut { double: Some(it), ..MetricOut::default() };
    let boolean = |it| MetricOut { boolean: Some(it), ..MetricOut::default() };
    let string = |it: &str| MetricOut { string: Some(it.into()), ..MetricOut::default() };
    let file = MetricOut {
        metadata: Some(MetadataOut { file_name: Some("a\"b".into()) }),
        ..bytes(&[1, 2, 3])
    };
    let rows = [
        (K::Int8, int(0xFF), "-1"),
        (K::Int8, int(0xFFFF_FF80), "-128"),
        (K::Int8, int(127), "127"),
        (K::Int16, int(0x8000), "-32768"),
        (K::Int16, int(0xFFFF_FFFF), "-1"),
        (K::Int16, int(32767), "32767"),
        (K::Int32, int(0x8000_0000), "-2147483648"),
        (K::Int32, int(2_147_483_647), "2147483647"),
        (K::Int64, long(u64::MAX), "-1"),
        (K::Int64, long(1 << 63), "-9223372036854775808"),
        (K::Int64, int(7), "7"),
        (K::UInt8, int(255), "255"),
        (K::UInt8, int(256), "unfit"),
        (K::UInt16, int(65535), "65535"),
        (K::UInt16, int(65536), "unfit"),
        (K::UInt32, int(4_294_967_295), "4294967295"),
        (K::UInt32, long(4_294_967_295), "4294967295"),
        (K::UInt32, long(4_294_967_296), "unfit"),
        (K::UInt64, long(9_223_372_036_854_775_807), "9223372036854775807"),
        (K::UInt64, long(9_223_372_036_854_775_808), "\"9223372036854775808\""),
        (K::UInt64, long(u64::MAX), "\"18446744073709551615\""),
        (K::UInt64, int(7), "7"),
        (K::Float, float(0.1), "0.1"),
        (K::Float, float(-1.5e30), "-1.5E30"),
        (K::Float, float(f32::NAN), "\"NaN\""),
        (K::Float, float(f32::INFINITY), "\"Infinity\""),
        (K::Float, double(0.1), "unfit"),
        (K::Double, double(3.999), "3.999"),
        (K::Double, double(2.0), "2.0"),
        (K::Double, double(f64::NEG_INFINITY), "\"-Infinity\""),
        (K::Double, float(0.5), "0.5"),
        (K::Boolean, boolean(true), "true"),
        (K::Boolean, int(0), "false"),
        (K::Boolean, int(2), "unfit"),
        (K::String, string("12"), "\"12\""),
        (K::String, int(1), "unfit"),
        (K::Text, string(""), "\"\""),
        (K::UUID, string("6ba7b810-9dad"), "\"6ba7b810-9dad\""),
        (K::DateTime, long(1_700_000_000_000), "1700000000000"),
        (K::Bytes, bytes(&[0, 127, 128, 255]), "[0,127,-128,-1]"),
        (K::Bytes, bytes(&[]), "[]"),
        (K::Bytes, string("x"), "unfit"),
        (K::File, file, "{\"fileName\":\"a\\\"b\",\"bytes\":\"AQID\"}"),
        (K::File, bytes(&[]), "{\"fileName\":null,\"bytes\":\"\"}"),
        (K::PropertySet, int(1), "unfit"),
        (K::Int8Array, bytes(&[0xEF, 0x7B]), "[-17,123]"),
        (K::Int16Array, bytes(&[0x30, 0x8A, 0x07, 0x00]), "[-30160,7]"),
        (K::Int16Array, bytes(&[0x30, 0x8A, 0x07]), "unfit"),
        (K::Int32Array, bytes(&[1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]), "[1,-1]"),
        (K::Int64Array, bytes(&(-2_i64).to_le_bytes()), "[-2]"),
        (K::UInt8Array, bytes(&[23, 250]), "[23,250]"),
        (K::UInt16Array, bytes(&[30, 0, 0x30, 0xF2]), "[30,62000]"),
        (K::UInt32Array, bytes(&u32::MAX.to_le_bytes()), "[4294967295]"),
        (K::UInt64Array, bytes(&u64::MAX.to_le_bytes()), "[\"18446744073709551615\"]"),
        (K::FloatArray, bytes(&[0xCD, 0xCC, 0xCC, 0x3D]), "[0.1]"),
        (K::FloatArray, bytes(&f32::NAN.to_le_bytes()), "[\"NaN\"]"),
        (K::DoubleArray, bytes(&12.35_f64.to_le_bytes()), "[12.35]"),
        (K::DoubleArray, bytes(&[0; 7]), "unfit"),
        (
            K::BooleanArray,
            bytes(&[12, 0, 0, 0, 0x34, 0xD0]),
            "[false,false,true,true,false,true,false,false,true,true,false,true]",
        ),
        (K::BooleanArray, bytes(&[0, 0, 0, 0]), "[]"),
        (K::BooleanArray, bytes(&[9, 0, 0, 0, 0x34]), "unfit"),
        (K::BooleanArray, bytes(&[0xFF, 0xFF, 0xFF, 0xFF, 0]), "unfit"),
        (K::BooleanArray, bytes(&[1]), "unfit"),
        (K::StringArray, bytes(b"ABC\0hello\0\0"), "[\"ABC\",\"hello\",\"\"]"),
        (K::StringArray, bytes(b""), "[]"),
        (K::StringArray, bytes(b"ABC"), "unfit"),
        (K::StringArray, bytes(b"\xFF\0"), "unfit"),
        (K::DateTimeArray, bytes(&1_256_102_875_335_u64.to_le_bytes()), "[1256102875335]"),
    ];
    for (kind, metric, expected) in rows {
        assert_eq!(kept(Some(kind), metric.clone()), expected, "{} {metric:?}", kind.name());
        let null = MetricOut { is_null: Some(true), ..MetricOut::default() };
        assert_eq!(kept(Some(kind), null), "nothing", "null of {}", kind.name());
    }
    assert_eq!(kept(None, int(1)), "unfit", "tck-id-payloads-metric-datatype-req");
    assert_eq!(DataType::of(35), None, "tck-id-payloads-metric-datatype-value");
    assert_eq!(DataType::of(u32::MAX), None, "tck-id-payloads-metric-datatype-value-type");
    assert_eq!(DataType::of(0), None);
}

#[test]
fn data_sets_are_kept_as_json_or_not_at_all() {
    let row = |elements: Vec<ElementOut>| RowOut { elements };
    let (one, text) = (
        ElementOut { int: Some(0xFF), ..ElementOut::default() },
        ElementOut { string: Some("x".into()), ..ElementOut::default() },
    );
    let good = DataSetOut {
        count: Some(2),
        columns: vec!["a".into(), "b".into()],
        types: vec![DataType::Int8 as u32, DataType::String as u32],
        rows: vec![row(vec![one.clone(), text.clone()]), row(vec![ElementOut::default(), text])],
    };
    let rows = [
        (
            "tck-id-payloads-dataset-column-size, tck-id-payloads-dataset-types-def,
             tck-id-payloads-template-dataset-value",
            good.clone(),
            "{\"columns\":[\"a\",\"b\"],\"types\":[\"Int8\",\"String\"],\"rows\":[[-1,\"x\"],[null,\"x\"]]}",
        ),
        (
            "tck-id-payloads-dataset-column-num-headers",
            DataSetOut { columns: vec!["a".into()], ..good.clone() },
            "unfit",
        ),
        (
            "tck-id-payloads-dataset-types-num",
            DataSetOut { types: vec![1], ..good.clone() },
            "unfit",
        ),
        ("the number of columns", DataSetOut { count: Some(3), ..good.clone() }, "unfit"),
        (
            "tck-id-payloads-dataset-types-value",
            DataSetOut { types: vec![1, 16], ..good.clone() },
            "unfit",
        ),
        (
            "tck-id-payloads-dataset-types-type",
            DataSetOut { types: vec![1, 99], ..good.clone() },
            "unfit",
        ),
        (
            "tck-id-payloads-dataset-parameter-type-req",
            DataSetOut { types: Vec::new(), ..good.clone() },
            "unfit",
        ),
        ("a short row", DataSetOut { rows: vec![row(vec![one])], ..good.clone() }, "unfit"),
        (
            "no row",
            DataSetOut { rows: Vec::new(), ..good },
            "{\"columns\":[\"a\",\"b\"],\"types\":[\"Int8\",\"String\"],\"rows\":[]}",
        ),
    ];
    for (id, dataset, expected) in rows {
        let metric = MetricOut { dataset: Some(dataset), ..MetricOut::default() };
        assert_eq!(kept(Some(DataType::DataSet), metric), expected, "{id}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "rows")]
fn templates_are_kept_as_json_with_the_types_of_their_definition() {
    let template = |it: TemplateOut| MetricOut {
        datatype: Some(DataType::Template as u32),
        template: Some(it),
        ..MetricOut::default()
    };
    let named = |name: &str, it: MetricOut| MetricOut { name: Some(name.into()), ..it };
    let instance = |reference: &str, metrics: &[&str]| TemplateOut {
        reference: Some(reference.into()),
        is_definition: Some(false),
        metrics: metrics.iter().map(|it| metric(it)).collect(),
        ..TemplateOut::default()
    };
    let definition = TemplateOut {
        is_definition: Some(true),
        metrics: ["rpm:Int16=0", "name:String=x", "inner:Template"].map(metric).to_vec(),
        ..TemplateOut::default()
    };
    let mut rig = Rig::new(Settings::default());
    let metrics =
        vec![named("Motor", template(definition)), named("m1", template(instance("Motor", &[])))];
    let birth = PayloadOut { timestamp: Some(5), metrics, seq: Some(0) };
    let told = rig.publish("spBv1.0/G/NBIRTH/E", &birth.encode_to_vec());
    assert_eq!(
        told,
        "node born sparkplugConnectionState@5=\"ONLINE\" sparkplugConnectionState@1000=\"ONLINE\" \
         m1@5={\"template\":\"Motor\",\"parameters\":{},\"metrics\":{}}\ndone 1",
        "tck-id-payloads-template-instance-members-birth: those that are there"
    );
    let inner = named("inner", template(instance("Other", &["z:Int32=9"])));
    let mut nested = instance("Motor", &["rpm=65535"]);
    nested.metrics.push(inner);
    nested.version = Some("2".into());
    nested.parameters.push(ParameterOut {
        name: Some("poles".into()),
        kind: Some(DataType::UInt8 as u32),
        int: Some(4),
    });
    let parameter = |name: Option<&str>, kind| {
        let name = name.map(str::to_owned);
        let parameters = vec![ParameterOut { name, kind, int: Some(4) }];
        TemplateOut { parameters, ..instance("Motor", &[]) }
    };
    let mut deep = instance("Motor", &[]);
    for _ in 0..40 {
        let mut outer = instance("Motor", &[]);
        outer.metrics.push(named("inner", template(deep)));
        deep = outer;
    }
    let rows = [
        (
            "tck-id-payloads-template-instance-members-data, tck-id-payloads-template-instance-members,
             tck-id-payloads-template-ref-instance, tck-id-payloads-template-is-definition-instance: some of them, of the types of the definition",
            instance("Motor", &["rpm=65535", "name"]),
            "node m1@6={\"template\":\"Motor\",\"parameters\":{},\"metrics\":{\"rpm\":-1,\"name\":null}}\ndone",
        ),
        (
            "tck-id-payloads-template-version, tck-id-payloads-template-instance-parameters,
             tck-id-payloads-template-parameter-name-type, tck-id-payloads-template-parameter-value, nested",
            nested,
            "node m1@6={\"template\":\"Motor\",\"version\":\"2\",\"parameters\":{\"poles\":4},\"metrics\":{\"rpm\":-1,\"inner\":{\"template\":\"Other\",\"parameters\":{},\"metrics\":{\"z\":9}}}}\ndone",
        ),
        (
            "tck-id-payloads-template-definition-members: a member that nobody gave a type",
            instance("Motor", &["what=1"]),
            "noted sparkplug.metric\ndone",
        ),
        ("a name twice", instance("Motor", &["rpm=1", "rpm=2"]), "noted sparkplug.metric\ndone"),
        (
            "tck-id-payloads-template-parameter-name-required",
            parameter(None, Some(5)),
            "noted sparkplug.metric\ndone",
        ),
        (
            "tck-id-payloads-template-parameter-type-req",
            parameter(Some("p"), None),
            "noted sparkplug.metric\ndone",
        ),
        (
            "tck-id-payloads-template-parameter-type-value, tck-id-payloads-template-parameter-value-type",
            parameter(Some("p"), Some(99)),
            "noted sparkplug.metric\ndone",
        ),
        (
            "tck-id-payloads-template-instance-ref: of none",
            instance("", &["rpm=1"]),
            "noted sparkplug.metric\ndone",
        ),
        (
            "tck-id-payloads-template-instance-is-definition, tck-id-payloads-template-is-definition:
             a definition is no value",
            TemplateOut { is_definition: Some(true), ..instance("Motor", &["rpm=1"]) },
            "done",
        ),
        ("more than 16 in each other", deep, "noted sparkplug.metric\ndone"),
        (
            "tck-id-payloads-template-instance-ref: kept, and asked about",
            instance("Pump", &["a:Int32=1"]),
            "noted sparkplug.no_rebirth\nnode m1@6={\"template\":\"Pump\",\"parameters\":{},\"metrics\":{\"a\":1}}\ndone",
        ),
    ];
    for (seq, (id, it, expected)) in (1..).zip(rows) {
        let metrics = vec![named("m1", template(it))];
        let data = PayloadOut { timestamp: Some(6), metrics, seq: Some(seq) };
        let told = rig.publish("spBv1.0/G/NDATA/E", &data.encode_to_vec());
        assert_eq!(told, format!("{expected} {}", seq + 1), "{id}");
    }
}

#[test]
fn templates_are_defined_by_births_of_edge_nodes_alone() {
    let define = |name: &str, reference: Option<&str>| MetricOut {
        template: Some(TemplateOut {
            reference: reference.map(str::to_owned),
            is_definition: Some(true),
            metrics: vec![metric("rpm:Int16=0")],
            ..TemplateOut::default()
        }),
        ..metric(&format!("{name}:Template=0"))
    };
    let instance = |name: &str| MetricOut {
        template: Some(TemplateOut {
            reference: Some(name.into()),
            metrics: vec![metric("rpm=7")],
            ..TemplateOut::default()
        }),
        ..metric("m:Template=0")
    };
    let payload = |metric: MetricOut, seq| {
        let seq = Some(seq);
        PayloadOut { timestamp: Some(5), metrics: vec![metric], seq }.encode_to_vec()
    };
    let known = "{\"template\":\"T\",\"parameters\":{},\"metrics\":{\"rpm\":7}}";
    let rows = [
        (
            "tck-id-payloads-template-definition-nbirth, tck-id-topics-nbirth-templates,
             tck-id-payloads-template-definition-is-definition,
             tck-id-payloads-template-is-definition-definition",
            Some(define("T", None)),
            None,
            true,
        ),
        (
            "tck-id-payloads-template-definition-ref, tck-id-payloads-template-ref-definition: ignored",
            Some(define("T", Some("Other"))),
            None,
            true,
        ),
        (
            "tck-id-payloads-template-definition-nbirth-only: in DBIRTH it defines nothing",
            None,
            Some(define("T", None)),
            false,
        ),
    ];
    for (id, of_node, of_device, is_known) in rows {
        let mut rig = Rig::new(Settings::default());
        let birth = of_node.unwrap_or_else(|| metric("other:Int32=1"));
        rig.publish("spBv1.0/G/NBIRTH/E", &payload(birth, 0));
        let birth = of_device.unwrap_or_else(|| metric("other:Int32=1"));
        rig.publish("spBv1.0/G/DBIRTH/E/D", &payload(birth, 1));
        let told = rig.publish("spBv1.0/G/DDATA/E/D", &payload(instance("T"), 2));
        assert_eq!(told.contains(known), is_known, "{id}: {told}");
        assert_eq!(told.contains("noted sparkplug.metric"), !is_known, "{id}: {told}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "rows")]
fn properties_are_kept_as_attributes_when_they_change() {
    let text = |it: &str| PropertyOut {
        kind: Some(DataType::String as u32),
        string: Some(it.into()),
        ..PropertyOut::default()
    };
    let quality = PropertyOut {
        kind: Some(DataType::Int32 as u32),
        int: Some(192),
        ..PropertyOut::default()
    };
    let set = |keys: &[&str], values: Vec<PropertyOut>| SetOut {
        keys: keys.iter().map(|it| (*it).into()).collect(),
        values,
    };
    let inner = PropertyOut {
        kind: Some(DataType::PropertySet as u32),
        set: Some(Box::new(set(&["u"], vec![text("C")]))),
        ..PropertyOut::default()
    };
    let list = PropertyOut {
        kind: Some(DataType::PropertySetList as u32),
        sets: Some(SetsOut { sets: vec![set(&[], vec![]), set(&["k"], vec![text("v")])] }),
        ..PropertyOut::default()
    };
    let null = PropertyOut { is_null: Some(true), ..PropertyOut::default() };
    let number = |kind| PropertyOut { kind, int: Some(7), ..PropertyOut::default() };
    let rows = [
        (
            "tck-id-payloads-propertyset-quality-value-type",
            set(&["Quality", "unit"], vec![quality.clone(), text("C")]),
            "node a@5=1 client a properties@1000={\"Quality\":192,\"unit\":\"C\"}\ndone",
        ),
        (
            "the same again is not written again",
            set(&["Quality", "unit"], vec![quality, text("C")]),
            "node a@5=1\ndone",
        ),
        (
            "tck-id-payloads-metric-propertyvalue-type-value, nested",
            set(&["s", "l", "n"], vec![inner, list, null]),
            "node a@5=1 client a properties@1000={\"s\":{\"u\":\"C\"},\"l\":[{},{\"k\":\"v\"}],\"n\":null}\ndone",
        ),
        (
            "tck-id-payloads-propertyset-quality-value-value: others are kept as the numbers they are",
            set(&["Quality"], vec![number(Some(DataType::Int32 as u32))]),
            "node a@5=1 client a properties@1000={\"Quality\":7}\ndone",
        ),
        (
            "tck-id-payloads-metric-propertyvalue-type-req",
            set(&["x"], vec![number(None)]),
            "noted sparkplug.metric\ndone",
        ),
        (
            "tck-id-payloads-metric-propertyvalue-type-type",
            set(&["x"], vec![number(Some(99))]),
            "noted sparkplug.metric\ndone",
        ),
        (
            "tck-id-payloads-propertyset-keys-array-size",
            set(&["x"], vec![text("C"), text("D")]),
            "noted sparkplug.metric\ndone",
        ),
        (
            "tck-id-payloads-propertyset-values-array-size",
            set(&["x", "y"], vec![text("D")]),
            "noted sparkplug.metric\ndone",
        ),
    ];
    let mut rig = Rig::new(Settings::default());
    rig.run("NBIRTH seq=0 bdSeq:Int64=3 a:Int32=1");
    rig.now = 1000;
    for (seq, (id, properties, expected)) in (1..).zip(rows) {
        let metric = MetricOut { properties: Some(properties), ..metric("a=1") };
        let data = PayloadOut { timestamp: Some(5), metrics: vec![metric], seq: Some(seq) };
        let told = rig.publish("spBv1.0/G/NDATA/E", &data.encode_to_vec());
        assert_eq!(told, format!("{expected} {}", seq + 1), "{id}");
    }
}
