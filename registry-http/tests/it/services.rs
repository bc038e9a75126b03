//! Services over HTTP: reads, writes, compare-and-swap, tags, errors with their place.

use serde_json::json;

use crate::client::Server;

fn entry() -> serde_json::Value {
    json!({
        "version": "1.0.0",
        "endpoints": [{ "name": "http", "address": "10.0.0.1:80", "protocol": "http" }],
        "depends_on": ["db"],
    })
}

#[tokio::test]
async fn put_creates_once_and_then_changes_nothing() {
    let server = Server::start().await;
    let created = server.put("/v1/services/api", entry()).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("x-registry-revision"), "1");
    let again = server.put("/v1/services/api", entry()).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["changed"], false);
    assert_eq!(again.header("x-registry-revision"), "1");
    let read = server.get("/v1/services/api").await;
    assert_eq!(read.json()["version"], "1.0.0");
    assert_eq!(read.header("etag"), "\"1\"");
}

#[tokio::test]
async fn each_write_shows_in_the_reads_of_its_part() {
    let server = Server::start().await;
    server.put("/v1/services/api", entry()).await;
    let steps = [
        ("PUT", "state", json!({ "state": "running" })),
        (
            "PUT",
            "health",
            json!({ "status": "critical", "message": "no answer" }),
        ),
        ("PUT", "endpoints", json!({ "endpoints": [] })),
    ];
    for (method, part, body) in steps {
        let path = format!("/v1/services/api/{part}");
        let answer = server.send(method, &path, &[], Some(body)).await;
        assert_eq!(answer.status, 200, "{part}: {answer:?}");
    }
    let patch = json!({ "version": "2" });
    let patched = server
        .send("PATCH", "/v1/services/api", &[], Some(patch))
        .await;
    assert_eq!(patched.status, 200);

    let state = server.get("/v1/services/api/state").await;
    let expected = json!({ "name": "api", "state": "running", "revision": 5 });
    assert_eq!(state.json(), expected);
    let health = server.get("/v1/services/api/health").await.json();
    assert_eq!(health["last_health_check"]["message"], "no answer");
    let endpoints = server.get("/v1/services/api/endpoints").await.json();
    assert_eq!(endpoints, json!({ "endpoints": [] }));
    let history = server.get("/v1/services/api/history?limit=2&after=1").await;
    assert_eq!(history.json()["entries"][0]["action"], "set_service_state");
    assert_eq!(history.json()["next_after"], 3);
    let needs = server
        .get("/v1/services/db/dependencies?direction=up")
        .await;
    assert_eq!(needs.json()["services"][0]["name"], "api");

    let gone = server.send("DELETE", "/v1/services/api", &[], None).await;
    assert_eq!(gone.status, 200);
    assert_eq!(server.get("/v1/services/api").await.status, 404);
}

#[tokio::test]
async fn names_of_any_kind_are_percent_decoded() {
    let server = Server::start().await;
    for (path, name) in [
        ("team%2Fapi", "team/api"),
        ("a:b", "a:b"),
        ("%C3%A4%20%25", "ä %"),
        ("%2e%2E", ".."),
        ("a+b", "a+b"),
    ] {
        let path = format!("/v1/services/{path}");
        assert_eq!(server.put(&path, entry()).await.status, 201, "{name}");
        assert_eq!(server.get(&path).await.json()["name"], name);
        let state = server.get(&format!("{path}/state")).await;
        assert_eq!(state.json()["name"], name);
    }
    let (code, message) = server.get("/v1/services/%ff").await.error();
    assert_eq!(code, "BadRequest", "{message}");
    let (code, message) = server.get("/v1/services/a%00b").await.error();
    assert_eq!(code, "BadRequest", "{message}");
}

#[tokio::test]
async fn if_match_is_compare_and_swap() {
    let server = Server::start().await;
    let put = async |header: (&str, &str), version: &str| {
        let body = Some(json!({ "version": version }));
        server
            .send("PUT", "/v1/services/api", &[header], body)
            .await
    };
    assert_eq!(put(("if-none-match", "*"), "1").await.status, 201);
    let exists = put(("if-none-match", "*"), "2").await;
    assert_eq!(exists.status, 409);
    assert_eq!(exists.error().0, "AlreadyExists");
    assert_eq!(put(("if-match", "\"1\""), "2").await.status, 200);
    let stale = put(("if-match", "\"1\""), "3").await;
    assert_eq!(stale.status, 409);
    assert_eq!(stale.error().0, "StaleRevision");
    for (name, value) in [
        ("if-match", "1"),
        ("if-match", "*"),
        ("if-match", "W/\"1\""),
        ("if-none-match", "\"1\""),
    ] {
        let refused = put((name, value), "4").await;
        assert_eq!(refused.status, 400, "{value}");
        assert!(refused.error().1.starts_with(name));
    }
    assert_eq!(server.get("/v1/services/api").await.json()["version"], "2");
}

#[tokio::test]
async fn idempotency_key_answers_the_first_outcome() {
    let server = Server::start().await;
    let headers = [
        ("idempotency-key", "k1"),
        ("x-registry-reason", "rollout ü"),
    ];
    for _ in 0..2 {
        let body = Some(json!({ "version": "1" }));
        let answer = server.send("PUT", "/v1/services/api", &headers, body).await;
        assert_eq!(answer.status, 201, "the first outcome");
        assert_eq!(answer.json()["revision"], 1);
    }
    let history = server.get("/v1/services/api/history").await.json();
    assert_eq!(history["entries"].as_array().unwrap().len(), 1);
    assert_eq!(history["entries"][0]["reason"], "rollout ü");
}

#[tokio::test]
async fn known_tag_is_answered_304_without_a_body() {
    let server = Server::start().await;
    server.register(&["api"]).await;
    for path in [
        "/v1/services/api",
        "/v1/services",
        "/v1/endpoints",
        "/v1/services/api/history",
    ] {
        let read = server.get(path).await;
        let tag = read.header("etag").to_owned();
        let known = [("if-none-match", tag.as_str())];
        let unchanged = server.send("GET", path, &known, None).await;
        assert_eq!(unchanged.status, 304, "{path}");
        assert_eq!(unchanged.header("etag"), tag);
        assert!(unchanged.body.is_empty());
    }
    let tag = server.get("/v1/services").await.header("etag").to_owned();
    server.register(&["db"]).await;
    let known = [("if-none-match", tag.as_str())];
    assert_eq!(
        server
            .send("GET", "/v1/services", &known, None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn list_is_filtered_and_paged_from_one_snapshot() {
    let server = Server::start().await;
    server.register(&["a", "b", "c", "d"]).await;
    let page = server
        .get("/v1/services?name=a&name=b&name=c&limit=2")
        .await;
    let first = page.json();
    assert_eq!(first["services"].as_array().unwrap().len(), 2);
    server.send("DELETE", "/v1/services/c", &[], None).await;
    let cursor = first["next_cursor"].as_str().unwrap().replace('/', "%2F");
    let path = format!("/v1/services?name=a&name=b&name=c&limit=2&cursor={cursor}");
    let rest = server.get(&path).await.json();
    assert_eq!(rest["services"][0]["name"], "c");
    assert!(rest.get("next_cursor").is_none());
}

#[tokio::test]
async fn mistakes_are_told_with_their_place() {
    let server = Server::start().await;
    server.register(&["api"]).await;
    let put = "/v1/services/x";
    let cases = [
        ("GET", "/v1/services?colour=red", None, "colour"),
        ("GET", "/v1/services?limit=many", None, "limit"),
        ("GET", "/v1/services?limit=0", None, "limit"),
        ("GET", "/v1/services?limit=1&limit=2", None, "limit"),
        ("GET", "/v1/services?stale=perhaps", None, "stale"),
        ("GET", "/v1/services?health=fine", None, "filter.health"),
        ("GET", "/v1/services/api?limit=1", None, "limit"),
        ("PUT", put, Some(json!({})), "service: missing field"),
        ("PUT", put, Some(json!([1])), "body"),
        ("PUT", put, Some(json!({ "version": 1 })), "service.version"),
        (
            "PUT",
            put,
            Some(json!({ "version": "1", "colour": "red" })),
            "service.colour",
        ),
        (
            "PUT",
            put,
            Some(json!({ "version": "1", "name": "y" })),
            "service.name",
        ),
        (
            "PUT",
            put,
            Some(
                json!({ "version": "1", "endpoints": [{ "name": "h", "address": "nowhere", "protocol": "tcp" }] }),
            ),
            "service.endpoints[0].address",
        ),
        (
            "PUT",
            "/v1/services/api/state",
            Some(json!({ "state": "flying" })),
            "state",
        ),
        (
            "PUT",
            "/v1/services/api/state",
            Some(json!({ "state": "running", "colour": "red" })),
            "colour",
        ),
        (
            "PATCH",
            "/v1/services/api",
            Some(json!({ "name": "b" })),
            "changes.name",
        ),
        ("PUT", put, None, "content-type"),
        ("DELETE", "/v1/services/api", Some(json!({})), "body"),
    ];
    for (method, path, body, place) in cases {
        let answer = server.send(method, path, &[], body).await;
        let (_, message) = answer.error();
        assert!(matches!(answer.status, 400 | 415), "{path}: {message}");
        assert!(message.contains(place), "{path}: {place} in {message:?}");
    }
    let revision = server.get("/v1/ping").await.json()["revision"].clone();
    assert_eq!(revision, 1, "nothing was changed");
}

#[tokio::test]
async fn body_that_is_deep_doubled_or_no_json_is_refused() {
    let server = Server::start().await;
    let deep = format!(
        r#"{{"version":"1","execution":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let bodies = [
        deep.as_str(),
        r#"{"version":"1","version":"2"}"#,
        r#"{"version":"1""#,
        r#"{"version":"1"} more"#,
        "{\"version\":\"1\",}",
        "null",
    ];
    for body in bodies {
        let mut client = server.connect().await;
        let length = body.len();
        let head = format!(
            "PUT /v1/services/x HTTP/1.1\r\nhost: r\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        client.write(&head).await;
        client.write(body).await;
        let answer = client.answer("PUT").await;
        assert_eq!(answer.status, 400, "{body:.40}");
        assert_eq!(answer.error().0, "BadRequest");
    }
}

#[tokio::test]
async fn every_answer_names_request_and_revision() {
    let server = Server::start().await;
    server.register(&["api"]).await;
    for path in [
        "/v1/services/api",
        "/v1/services/none",
        "/nowhere",
        "/healthz",
        "/",
    ] {
        let answer = server
            .send("GET", path, &[("x-request-id", "r-1")], None)
            .await;
        assert_eq!(answer.header("x-request-id"), "r-1", "{path}");
        assert_eq!(answer.header("x-registry-revision"), "1", "{path}");
        let own = server
            .send("GET", path, &[("x-request-id", "a b")], None)
            .await;
        assert_eq!(own.header("x-request-id").len(), 36, "{path}");
    }
}

#[tokio::test]
async fn unknown_path_and_wrong_method_have_the_envelope() {
    let server = Server::start().await;
    let unknown = server.get("/v1/nowhere").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.error().0, "UnknownRoute");
    let wrong = server.send("DELETE", "/v1/services", &[], None).await;
    assert_eq!(wrong.status, 405);
    assert_eq!(wrong.error().0, "MethodNotAllowed");
    assert!(wrong.header("allow").contains("GET"), "{wrong:?}");
    let upgrade = server.get("/ws").await;
    assert_eq!(upgrade.status, 426);
    assert_eq!(upgrade.error().0, "UpgradeRequired");
    let body = Some(json!({}));
    let unsupported = server.send("POST", "/v1/packages", &[], body).await;
    assert_eq!(unsupported.status, 501);
    assert_eq!(unsupported.error().0, "Unsupported");
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let server = Server::start().await;
    server.register(&["api"]).await;
    let head = server.send("HEAD", "/v1/services/api", &[], None).await;
    assert_eq!((head.status, head.header("etag")), (200, "\"1\""));
    assert!(head.body.is_empty());
}
