from rca_benchmark.methods import all_methods, get_method


def test_the_studys_name_of_a_method_is_understood_and_not_listed_twice():
    assert get_method("dummy") is get_method("random")
    names = [method.name for method in all_methods()]
    assert "dummy" not in names
    assert len(set(names)) == len(names)
    assert "dummy" in get_method("random").paper
