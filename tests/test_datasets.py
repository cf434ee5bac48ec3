"""Data sets: what is written comes back, real files, and a line for every defect."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import dump_svmlight_file

from fedjax_opt.problems.datasets import load

FEATURES = np.array([[1.5, 0, 2], [0, 0, 0], [-1, 3, 0.25], [0, 0, 1e-9], [7, 8, 9]])
LABELS = np.array([3, 1, 1, 3, 7])
ENCODED = [1, 0, 0, 1, 2]
DATA = os.environ.get("FEDJAX_OPT_DATA")


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def csv_text(header="", separator=","):
    rows = np.column_stack([FEATURES, LABELS])
    lines = [separator.join(f"{x:g}" for x in row) for row in rows]
    return "\n".join([*([header] if header else []), *lines]) + "\n"


def assert_loaded(path, name="data"):
    data = load(path)
    np.testing.assert_array_equal(data.features, FEATURES)
    np.testing.assert_array_equal(data.labels, ENCODED)
    np.testing.assert_array_equal(data.classes, [1, 3, 7])
    assert data.features.dtype == np.float64
    assert data.labels.dtype == np.int32
    assert data.name == name


# ---------------------------------------------------------------- what comes back


@pytest.mark.parametrize("zero_based", [True, False])
@pytest.mark.parametrize("name", ["data.svm", "data.libsvm", "data.txt"])
def test_svmlight(tmp_path, name, zero_based):
    path = tmp_path / name
    dump_svmlight_file(FEATURES, LABELS, str(path), zero_based=zero_based)
    assert_loaded(path)


def test_gzipped_files(tmp_path):
    dump_svmlight_file(FEATURES, LABELS, str(tmp_path / "plain"))
    svm = gzip.compress((tmp_path / "plain").read_bytes())
    assert_loaded(write(tmp_path / "data.svm.gz", svm))
    assert_loaded(write(tmp_path / "data.csv.gz", gzip.compress(csv_text().encode())))


def test_content_counts_and_not_the_name(tmp_path):
    dump_svmlight_file(FEATURES, LABELS, str(tmp_path / "data.csv"))
    assert_loaded(tmp_path / "data.csv")
    assert_loaded(write(tmp_path / "data.svm", csv_text()))


@pytest.mark.parametrize("header", ["", "a,b,c,label", "0,1,2,outcome", "a,b,c,d"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_with_and_without_names(tmp_path, header, separator):
    text = csv_text(header.replace(",", separator), separator)
    assert_loaded(write(tmp_path / "data.csv", text))
    assert_loaded(write(tmp_path / "data.csv", b"\xef\xbb\xbf" + text.encode()))
    assert_loaded(write(tmp_path / "data.csv", text.replace("\n", "\r\n") + "\r\n"))


@pytest.mark.parametrize("name", ["label", "Target", "y", "CLASS"])
@pytest.mark.parametrize("index", [True, False])
def test_csv_finds_the_named_label_column(tmp_path, name, index):
    frame = pd.DataFrame(FEATURES, columns=["a", "b", "c"])
    frame.insert(1, name, LABELS)
    frame.to_csv(tmp_path / "data.csv", index=index)
    assert_loaded(tmp_path / "data.csv")


@pytest.mark.parametrize("header", ["", "a,b,kind\n"])
def test_csv_labels_may_be_words(tmp_path, header):
    text = header + "1,2,setosa\n3,4,virginica\n5,6,setosa\n"
    data = load(write(tmp_path / "iris.csv", text))
    np.testing.assert_array_equal(data.features, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(data.labels, [0, 1, 0])
    assert list(data.classes) == ["setosa", "virginica"]


def test_csv_labels_may_be_truth_values(tmp_path):
    data = load(write(tmp_path / "data.csv", "a,y\n1,True\n2,False\n3,True\n"))
    np.testing.assert_array_equal(data.labels, [1, 0, 1])


@pytest.mark.parametrize("names", [("X", "y"), ("features", "labels"), ("x", "Y")])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, names, save):
    save(tmp_path / "data.npz", **dict(zip(names, (FEATURES, LABELS), strict=True)))
    assert_loaded(tmp_path / "data.npz")


def test_whole_numbers_as_floats_are_labels(tmp_path):
    np.savez(tmp_path / "data.npz", X=FEATURES, y=LABELS.astype(np.float32))
    assert_loaded(tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("name", "shape", "num_classes"),
    [("digits", (1797, 64), 10), ("breast_cancer", (569, 30), 2)],
)
def test_shipped(name, shape, num_classes):
    data = load(name)
    assert data.features.shape == shape
    assert set(data.labels) == set(range(num_classes)) == set(data.classes)
    assert data.name == name


def test_shipped_scales():
    digits = load("digits").features
    assert (digits.min(), digits.max()) == (0, 1)
    cancer = load("breast_cancer").features
    np.testing.assert_allclose(cancer.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(cancer.std(0), 1)


@pytest.mark.skipif(not DATA, reason="FEDJAX_OPT_DATA names no folder")
@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("a9a", (32561, 123), [-1, 1]),
        ("w8a", (49749, 300), [-1, 1]),
        ("mushrooms", (8124, 112), [1, 2]),
        ("phishing", (11055, 68), [0, 1]),
    ],
)
def test_real_files(name, shape, classes):
    data = load(Path(str(DATA)) / f"{name}.svm.gz")
    assert data.features.shape == shape
    assert list(data.classes) == classes
    assert set(data.labels) == {0, 1}
    assert data.name == name


# ---------------------------------------------------------------- what is refused


def refused(path, match):
    with pytest.raises(ValueError, match=match) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"digits.*breast_cancer"):
        load(tmp_path / "absent.csv")


def test_a_folder(tmp_path):
    refused(tmp_path, "folder")


@pytest.mark.parametrize("content", ["", " \n\n", gzip.compress(b"", mtime=0)])
def test_empty_files(tmp_path, content):
    refused(write(tmp_path / "data.csv", content), "empty")


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(csv_text().encode())
    refused(write(tmp_path / "data.csv.gz", whole[:-9]), "damaged")
    refused(write(tmp_path / "data.csv.gz", whole[:2] + b"nonsense"), "damaged")


@pytest.mark.parametrize(
    "content", [b"\x00\x01\x02", b"\xff\xfe\xfa", b"\x93NUMPY\x01\x00"]
)
def test_neither_text_nor_npz(tmp_path, content):
    refused(write(tmp_path / "data.bin", content), "neither NPZ nor text")


@pytest.mark.parametrize(
    "text",
    ["1 1:2\n1 3:x\n", "1 1:2\n1 2:1 1:2\n", "1 1:2\nword 1:2\n", "1 1:2\n1 2\n"],
)
def test_svmlight_with_defects(tmp_path, text):
    refused(write(tmp_path / "data.svm", text), "not svmlight text")


@pytest.mark.parametrize("text", ["1,2,3\n1,2\n", "1,2\n1,2,3\n", "a,b\n\n1,2\n3\n"])
def test_ragged_csv(tmp_path, text):
    refused(write(tmp_path / "data.csv", text), r"line \d has")


def test_csv_with_an_open_quote(tmp_path):
    text = '1,2\n"' + "3" * 200_000 + ",4\n"
    refused(write(tmp_path / "data.csv", text), "line 2 is not CSV")


def test_csv_with_one_column(tmp_path):
    refused(write(tmp_path / "data.csv", "1\n2\n3\n"), "single column")


def test_csv_with_words_in_a_feature(tmp_path):
    text = "size,color,y\n1,2,0\n1,red,1\n1,2,0\n"
    refused(write(tmp_path / "data.csv", text), "row 2, column color: 'red'")


@pytest.mark.parametrize("bad", ["", "?", "NA", "nan", "inf"])
def test_csv_features_must_be_finite(tmp_path, bad):
    text = f"a,b,y\n1,2,0\n3,{bad},1\n5,6,0\n"
    refused(write(tmp_path / "data.csv", text), "row 2, column b is (nan|inf)")
    text = f"1,{bad},0\n3,4,1\n5,6,0\n"
    refused(write(tmp_path / "data.csv", text), "row 1, column 2 is (nan|inf)")


def test_features_must_be_finite(tmp_path):
    features = FEATURES.copy()
    features[2, 1] = np.inf
    np.savez(tmp_path / "data.npz", X=features, y=LABELS)
    refused(tmp_path / "data.npz", "row 3, column 2 is inf")
    text = "1 1:2\n2 1:3\n1 2:inf\n"
    refused(write(tmp_path / "data.svm", text), "row 3, column 2 is inf")


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([1.0, 2.5, 2.0, 1.0, 1.0], "label 2.5"),
        ([1, 1, 1, 1, 1], "1 distinct labels in 5 rows"),
        ([1, 2, 3, 4, 5], "5 distinct labels in 5 rows"),
        ([1.0, np.nan, 1.0, 2.0, 2.0], "row 2 has no label"),
        ([1, 2, 1, 2], "5 rows of features but 4 labels"),
    ],
)
def test_labels_must_be_classes(tmp_path, labels, match):
    np.savez(tmp_path / "data.npz", X=FEATURES, y=np.array(labels))
    refused(tmp_path / "data.npz", match)


def test_too_many_classes(tmp_path):
    labels = np.append(np.arange(1001), 0)
    np.savez(tmp_path / "data.npz", X=np.ones((1002, 1)), y=labels)
    refused(tmp_path / "data.npz", "1001 distinct labels")


def test_csv_with_a_missing_word_for_a_label(tmp_path):
    refused(write(tmp_path / "data.csv", "1,a\n2,\n3,b\n4,a\n"), "row 2 has no label")


def test_names_without_rows(tmp_path):
    refused(write(tmp_path / "data.csv", "a,b,label\n"), "0 rows")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"X": FEATURES}, "arrays x, but"),
        ({"X": FEATURES[0], "y": LABELS}, r"X \[N, d\]"),
        ({"X": FEATURES, "y": LABELS[:, None]}, r"y \[N\]"),
        ({"X": FEATURES.astype(str), "y": LABELS}, "numbers X"),
        ({"X": FEATURES[:, :0], "y": LABELS}, "5 rows with 0 features"),
        ({"X": FEATURES[:0], "y": LABELS[:0]}, "0 rows"),
        ({"X": FEATURES.astype(object), "y": LABELS}, "plain arrays"),
    ],
)
def test_npz_with_defects(tmp_path, arrays, match):
    np.savez(tmp_path / "data.npz", **arrays)
    refused(tmp_path / "data.npz", match)


def test_damaged_npz(tmp_path):
    np.savez(tmp_path / "data.npz", X=FEATURES, y=LABELS)
    content = (tmp_path / "data.npz").read_bytes()
    refused(write(tmp_path / "data.npz", content[:-50]), "plain arrays")
