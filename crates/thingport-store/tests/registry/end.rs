//! A house that ends lets go of everything.

use std::sync::Arc;

use thingport_core::calls::CallDraft;
use thingport_core::node::NodeConfig;
use thingport_model::rpc::CallWay;
use thingport_store::entities::FILE;

use crate::home::Home;

#[tokio::test]
async fn a_house_that_ends_gives_its_stores_back_and_they_tidy_up() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::on_disk(dir.path(), NodeConfig::default()).await;
    let device = home.device("pump").await;
    let call = CallDraft {
        method: "setValve".to_owned(),
        params: "{}".to_owned(),
        way: CallWay::TwoWay,
        expires_at: None,
        timeout_ms: None,
        retries: None,
        id: None,
        additional_info: None,
    };
    let calls = Arc::clone(&home.node.calls);
    let saving = async {
        calls.unsaved().await;
        calls.save().await
    };
    let made = calls.call_persistently(&home.admin, device.id, call);
    let (made, saved) = tokio::join!(made, saving);
    assert!(made.is_ok() && saved.is_ok());
    home.node.registry.delete_device(&home.admin, device.id).await.unwrap();
    drop(calls);
    let log = dir.path().join(format!("{FILE}-wal"));
    assert!(log.exists(), "otherwise this test shows nothing");
    let registry = Arc::downgrade(&home.node.registry);
    let calls = Arc::downgrade(&home.node.calls);
    let entities = Arc::downgrade(&home.entities);
    drop(home);
    assert!(registry.upgrade().is_none() && calls.upgrade().is_none());
    assert!(entities.upgrade().is_none(), "somebody holds the store");
    assert!(!log.exists(), "what was written is in the database and nowhere else");
}
