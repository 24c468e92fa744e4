use serde_json::{Value, json};

use crate::fake::World;

async fn import(world: &World, file: &str, columns: Value, update: bool) -> Value {
    let body = json!({
        "file": file,
        "mapping": { "columns": columns, "delimiter": ",", "update": update, "header": true },
    });
    let token = world.tenant().await;
    world.post("/api/device/bulk_import", &token, &body.to_string()).await.json()
}

fn columns(kinds: &[&str]) -> Value {
    kinds.iter().map(|kind| json!({ "type": kind, "key": null })).collect()
}

async fn device(world: &World, name: &str) -> Value {
    let path = format!("/api/tenant/devices?deviceName={name}");
    world.get(&path, &world.tenant().await).await.json()
}

async fn credentials(world: &World, device: &Value) -> Value {
    let id = device["id"]["id"].as_str().expect("an id");
    world.get(&format!("/api/device/{id}/credentials"), &world.tenant().await).await.json()
}

#[tokio::test]
async fn the_example_of_the_contract_makes_two_devices_with_token_and_attribute() {
    let world = World::new().await;
    let file = "name,type,token,floor\npump-18,pump-mqtt,tok-18,2\npump-19,pump-mqtt,tok-19,3\n";
    let mut four = columns(&["NAME", "TYPE", "ACCESS_TOKEN"]);
    let floor = json!({ "type": "SERVER_ATTRIBUTE", "key": "floor" });
    four.as_array_mut().expect("a list").push(floor);
    let done = import(&world, file, four, true).await;
    assert_eq!(done, json!({ "created": 2, "updated": 0, "errors": 0, "errorsList": [] }));
    let pump = device(&world, "pump-19").await;
    assert_eq!(pump["type"], "pump-mqtt");
    assert_eq!(credentials(&world, &pump).await["credentialsId"], "tok-19");
}

#[tokio::test]
async fn a_known_device_keeps_what_the_row_does_not_say() {
    let world = World::new().await;
    let first = "n,l,d,g\np,old,text,true\n";
    let four = columns(&["NAME", "LABEL", "DESCRIPTION", "IS_GATEWAY"]);
    assert_eq!(import(&world, first, four, false).await["created"], 1);
    let two = columns(&["NAME", "LABEL"]);
    let done = import(&world, "n,l\np,new\n", two.clone(), true).await;
    assert_eq!((&done["updated"], &done["errors"]), (&json!(1), &json!(0)), "{done}");
    let found = device(&world, "p").await;
    assert_eq!((&found["label"], &found["type"]), (&json!("new"), &json!("default")));
    assert_eq!(found["additionalInfo"], json!({ "description": "text", "gateway": true }));
    let done = import(&world, "n,l\np,newer\n", two, false).await;
    assert_eq!((&done["updated"], &done["errors"]), (&json!(0), &json!(1)), "{done}");
    assert!(done["errorsList"][0].as_str().is_some_and(|text| text.starts_with("Line 2: ")));
}

#[tokio::test]
async fn credentials_of_each_kind_and_wrong_rows() {
    let world = World::new().await;
    let kinds = [
        "NAME",
        "ACCESS_TOKEN",
        "MQTT_CLIENT_ID",
        "MQTT_USER_NAME",
        "MQTT_PASSWORD",
        "IS_GATEWAY",
        "SNMP_HOST",
    ];
    let file = "n,t,c,u,p,g,s\n\
        basic,,c1,u1,p1,,\n\
        ,tok,,,,,\n\
        both,tok,c,,,,\n\
        odd,,,,,perhaps,\n\
        snmp,,,,,,host\n\
        long,,,,,,,,\n\
        password,,c,,p,,\n\
        \"quoted, name\",,,,,,\n";
    let done = import(&world, file, columns(&kinds), false).await;
    assert_eq!((&done["created"], &done["errors"]), (&json!(2), &json!(6)), "{done}");
    let lines: Vec<_> = done["errorsList"].as_array().expect("a list").iter().collect();
    for (line, text) in (3..9).zip(lines) {
        assert!(text.as_str().is_some_and(|text| text.starts_with(&format!("Line {line}: "))));
    }
    let basic = credentials(&world, &device(&world, "basic").await).await;
    assert_eq!(basic["credentialsType"], "MQTT_BASIC");
    let value = r#"{"clientId":"c1","userName":"u1","password":"p1"}"#;
    assert_eq!(basic["credentialsValue"], value);
    assert_eq!(device(&world, "quoted%2C%20name").await["name"], "quoted, name");
}

#[tokio::test]
async fn a_table_without_names_or_with_unknown_columns_is_refused_as_a_whole() {
    let world = World::new().await;
    for kinds in [&["TYPE"][..], &["NAME", "COLOUR"], &["NAME", "TIMESERIES"]] {
        let done = import(&world, "a\nb\n", columns(kinds), false).await;
        assert_eq!((&done["status"], &done["errorCode"]), (&json!(400), &json!(31)), "{kinds:?}");
    }
}
