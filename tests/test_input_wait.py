"""What the report says of streamed trainings that waited for images."""

import pytest

from cnnjax.report import bill
from tests.synthetic_results import write
from tests.test_report import told


@pytest.mark.parametrize(("waited", "shown"), [(0.34, "34.0%"), (0.11, "11.0%"), (0.02, "2.0%")])
def test_waiting_is_on_the_bill_and_advised_against_where_it_is_much(tmp_path, waited, shown):
    def streamed(record, number):
        record["timings"]["input_wait_seconds"] = waited * record["timings"]["train_seconds"]
        return record

    found = told(write(tmp_path, "train", spoil=streamed))
    table = bill.table(found.study)
    assert table.rows[-1][table.head.index("waiting for images")][0] == shown
    advice = [f.text for f in found.findings if f.head == "Input is the bottleneck"]
    wanted = f"{shown} of the training time the devices waited for images: give more --data_workers"
    assert [text.startswith(wanted) for text in advice] == [True] * (waited > 0.1)


def test_what_was_not_streamed_says_nothing(tmp_path):
    found = told(write(tmp_path, "train"))
    assert "waiting for images" not in bill.table(found.study).head
    assert not any(f.head == "Input is the bottleneck" for f in found.findings)
