//! Pieces of recordings on their way through nginx.

use serde_json::json;

use crate::common::client::Client;
use crate::common::folder::Folder;
use crate::common::http::send;
use crate::stage::Stage;

/// The longest piece in bytes (R86).
const PIECE: usize = 4 * 1024 * 1024;

#[tokio::test]
async fn a_piece_goes_through_nginx_and_nothing_longer_does() {
    let folder = Folder::new();
    let stage = Stage::set(1, &[("ROUNDTABLE_RECORDINGS_DIR", folder.path())]).await;
    let address = stage.front.address;
    let mut ada = Client::connect(address, "r").await.unwrap();
    ada.join("Ada").await;
    let wish = json!({"room": "r", "resume": ada.welcome["resume"]}).to_string();
    let begun = send(address, "POST", "/signal-api/v1/recordings?room=r", &[], wish).await.json();
    let authorization = format!("Bearer {}", begun["data"]["upload"].as_str().unwrap());
    let target = format!("/signal-api/v1/recordings/{}?offset=0&room=r", begun["data"]["id"].as_str().unwrap());
    let put = async |size: usize| {
        send(address, "PUT", &target, &[("Authorization", &authorization)], vec![1; size]).await.status
    };
    assert_eq!(put(PIECE).await, 200);
    assert_eq!(std::fs::metadata(folder.only(".part")).unwrap().len(), PIECE as u64);
    assert_eq!(put(PIECE + 1).await, 413);
    // Elsewhere nothing is so long.
    assert_eq!(send(address, "POST", "/signal-api/v1/leave", &[], vec![b' '; 100 * 1024]).await.status, 413);
}
