//! Every action has its routes, and every route its action.

use registry_api::ACTIONS;

use crate::client::Server;

/// Actions that need no route, and why.
const WITHOUT_ROUTE: &[(&str, &str)] = &[("unsubscribe", "the end of the request does it")];

fn example(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        if segment.starts_with('{') {
            "x"
        } else {
            segment
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_action_has_a_route_that_is_answered() {
    let server = Server::start().await;
    for action in ACTIONS {
        let is_excused = WITHOUT_ROUTE.iter().any(|(name, _)| *name == action.name);
        assert_eq!(action.routes.is_empty(), is_excused, "{}", action.name);
        for route in action.routes {
            let mut client = server.connect().await;
            client
                .send(route.method, &example(route.path), &[], None)
                .await;
            let (status, headers) = client.head().await;
            assert!(!matches!(status, 405 | 426), "{route:?}: {status}");
            assert!(headers.contains_key("x-registry-revision"));
        }
    }
}

#[test]
fn every_route_has_one_action() {
    let mut routes: Vec<_> = ACTIONS
        .iter()
        .flat_map(|action| action.routes.iter().map(|route| (route.path, route.method)))
        .collect();
    let count = routes.len();
    routes.sort_unstable();
    routes.dedup();
    assert_eq!(routes.len(), count, "a route of two actions");
    assert!(routes.iter().all(|(path, _)| path.starts_with("/v1/")));
}
