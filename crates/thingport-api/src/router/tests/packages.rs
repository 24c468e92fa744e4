//! Packages as people meet them: uploads in parts, downloads, what devices are given.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::config::ApiConfig;
use crate::fake::{Answer, World};

/// A signed-in tenant administrator and the default profile.
struct Desk {
    world: World,
    token: String,
    profile: Value,
}

impl Desk {
    async fn with(config: ApiConfig) -> Self {
        let world = World::with(config).await;
        let token = world.tenant().await;
        let profile = world.get("/api/deviceProfileInfo/default", &token).await.json();
        Self { profile: profile["id"].clone(), world, token }
    }

    async fn package(&self, title: &str) -> Answer {
        let body = json!({"deviceProfileId": self.profile, "type": "FIRMWARE", "title": title,
            "version": "1.0", "tag": null, "usesUrl": false, "url": null});
        self.world.post("/api/otaPackage", &self.token, &body.to_string()).await
    }

    async fn id(&self, title: &str) -> String {
        self.package(title).await.json()["id"]["id"].as_str().expect("an id").to_owned()
    }

    /// Uploads a body of which pieces arrive one after the other.
    async fn upload(&self, id: &str, query: &str, name: &str, data: &str) -> Answer {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"i.bin\"\r\n\
             Content-Type: text/x-image\r\n\r\n{data}\r\n--b--\r\n"
        );
        let pieces: Vec<_> = body.as_bytes().chunks(7).map(<[u8]>::to_vec).collect();
        let pieces = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        let request = Request::post(format!("/api/otaPackage/{id}{query}"))
            .header("X-Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "multipart/form-data; boundary=b");
        self.world.send(request.body(Body::from_stream(pieces)).expect("a request")).await
    }
}

#[tokio::test]
async fn what_was_uploaded_is_downloaded() {
    let desk = Desk::with(ApiConfig::default()).await;
    let id = desk.id("image").await;
    let info = desk.upload(&id, "?checksumAlgorithm=CRC32", "file", "123456789").await.json();
    let expected = json!({"hasData": true, "dataSize": 9, "checksumAlgorithm": "CRC32",
        "checksum": "2639f4cb", "fileName": "i.bin", "contentType": "text/x-image", "url": null});
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&info[name], value, "{name}");
    }
    let path = format!("/api/otaPackage/{id}");
    let loaded = desk.world.get(&format!("{path}/download"), &desk.token).await;
    assert_eq!(loaded.text, "123456789");
    for (name, value) in [
        ("content-type", "text/x-image"),
        ("content-length", "9"),
        ("content-disposition", "attachment;filename=i.bin"),
        ("x-filename", "i.bin"),
    ] {
        assert_eq!(loaded.headers[name], value);
    }
    let whole = desk.world.get(&path, &desk.token).await.json();
    assert_eq!(whole["data"], "MTIzNDU2Nzg5");
    let delete = desk.world.ask(Method::DELETE, &path, &desk.token, "").await;
    assert_eq!(delete.status, StatusCode::OK);
    assert_eq!(desk.world.get(&path, &desk.token).await.refusal(), (404, 32));
}

#[tokio::test]
async fn uploads_that_are_wrong_are_refused() {
    let desk = Desk::with(ApiConfig { upload_max: 10, ..ApiConfig::default() }).await;
    let id = desk.id("image").await;
    for (query, name, data, status) in [
        ("", "other", "1", 400),
        ("", "file", "", 400),
        ("?checksumAlgorithm=SHA1", "file", "1", 400),
        ("?checksum=00", "file", "1", 400),
        ("", "file", "12345678901", 413),
        ("", "file", "1234567890", 200),
        ("", "file", "1234567890", 400),
    ] {
        let answer = desk.upload(&id, query, name, data).await;
        assert_eq!(answer.status.as_u16(), status, "{query} {name} {data}: {}", answer.text);
    }
    let nowhere = "2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11";
    assert_eq!(desk.upload(nowhere, "", "file", "1").await.refusal(), (404, 32));
}

/// D-6, and what a device shows.
#[tokio::test]
async fn a_device_is_given_packages_of_its_profile_alone() {
    let desk = Desk::with(ApiConfig::default()).await;
    let id = desk.id("image").await;
    let save = async |firmware: Value| {
        let body = json!({"name": "d", "firmwareId": firmware}).to_string();
        let path = "/api/device?nameConflictPolicy=UNIQUIFY";
        desk.world.post(path, &desk.token, &body).await
    };
    let package = json!({"entityType": "OTA_PACKAGE", "id": id});
    assert_eq!(save(package.clone()).await.refusal(), (400, 31), "it has no data yet");
    desk.upload(&id, "", "file", "1").await;
    assert_eq!(save(package.clone()).await.json()["firmwareId"], package);
    assert_eq!(save(Value::Null).await.json()["firmwareId"], Value::Null);
    let wrong = json!({"entityType": "DEVICE", "id": id});
    assert_eq!(save(wrong).await.refusal(), (400, 31));
    let path = format!("/api/otaPackage/{id}");
    let delete = desk.world.ask(Method::DELETE, &path, &desk.token, "").await;
    assert_eq!(delete.refusal(), (400, 31), "it is in use");
    let profile = desk.profile["id"].as_str().expect("an id");
    let count = |kind: &str| format!("/api/devices/count/{kind}/{profile}");
    let all = desk.world.get(&count("SOFTWARE"), &desk.token).await.json();
    let without = desk.world.get(&count("FIRMWARE"), &desk.token).await.json();
    assert_eq!(all.as_u64(), without.as_u64().map(|it| it + 1));
    assert_eq!(desk.world.get(&count("MALWARE"), &desk.token).await.refusal(), (400, 31));
}
