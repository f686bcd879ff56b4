"""Records of made-up runs: two methods, three domains, two trials, validated twice."""

from experiments.domainbed.records import Record

DOMAINS = ("+90%", "+80%", "-90%")


def record(
    held_out, *, method="deep_all", trial=0, data_seed=0, validation=(0.5, 0.6), tested=(0.3, 0.2), out=(0.3, 0.2)
):
    return Record(
        dataset="colored_mnist",
        domains=DOMAINS,
        method=method,
        held_out=held_out,
        trial=trial,
        data_seed=data_seed,
        settings={"learning_rate": 1e-3, "batch_size": 64 + trial},
        steps=[100, 150],
        validation=list(validation),
        held_out_accuracy={domain: list(tested) for domain in held_out},
        target_validation=list(out),
        device="cpu",
        versions={"jax": "0.10.2"},
    )


def search():
    """Each target is best at another trial and step by each rule."""
    found = []
    for method, more in (("deep_all", 0.0), ("agr_sum", 0.01)):
        for data_seed in range(2):
            for trial in range(2):
                shift = more + 0.001 * data_seed
                same = {"method": method, "trial": trial, "data_seed": data_seed}
                for target in DOMAINS:
                    validation = [(0.9, 0.8), (0.7, 0.85)][trial]  # trial 0, step 100
                    tested = [(0.5 + shift, 0.4), (0.3, 0.6 + shift)][trial]
                    out = [(0.9, 0.5), (0.2, 0.6)][trial]  # trial 1, the last step
                    found.append(record((target,), **same, validation=validation, tested=tested, out=out))
                tested = [(0.1, 0.7), (0.6, 0.5)][trial]  # trial 0, step 150
                found += [record(pair, **same, tested=tested) for pair in (DOMAINS[:2], DOMAINS[1:], DOMAINS[::2])]
    return found
