def test_all_stages_leave_their_files(finished):
    workspace, outcome = finished
    assert outcome.registration.version == 1
    for path in (workspace.model, workspace.metrics, workspace.picture, workspace.data_card):
        assert path.exists()
