//! A validator that is killed at any instant goes on where it was.

mod support;

use support::Node;

#[test]
fn a_killed_validator_continues_its_chain() {
	let folder = tempfile::tempdir().expect("a folder can be made");
	let node = Node::start(folder.path(), &["--chain", "fast"]);
	node.wait_finalized(1);
	let (best, first) = (node.best(), node.hash_of(1));
	drop(node);

	let node = Node::start(folder.path(), &["--chain", "fast"]);
	assert_eq!(node.hash_of(1), first);
	node.wait_finalized(best + 1);
	assert_eq!(node.hash_of(1), first);
}
