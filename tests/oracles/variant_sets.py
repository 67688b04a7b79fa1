"""Slow twin of `genassoc.data.sets.matched`: each name against each variant of the store, in plain Python."""


def match(names, variants):
    """Set -> {number of the variant: annotations joined by "&", or None}, of (set, name, annotation) and (contig, position, REF, ALT, id)."""
    sets = {}
    for set_id, name, annotation in names:
        found = [k for k, variant in enumerate(variants) if variant[4] == name]
        place = name.removeprefix("chr").split(":")
        if not found and len(place) == 4:
            found = [k for k, v in enumerate(variants) if [v[0], str(v[1]), v[2], v[3]] == place][:1]
        members = sets.setdefault(set_id, {})
        for k in found:
            members.setdefault(k, set()).update([annotation] if annotation else [])
    return {s: {k: "&".join(sorted(a)) or None for k, a in members.items()} for s, members in sets.items()}
