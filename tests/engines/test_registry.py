def test_engines_push_to_the_registry_and_pull_from_it(any_engine, registry):
    name = f"{registry.address}/harness/base:1"
    any_engine.docker("tag", "base:latest", name)
    any_engine.docker("push", name)
    any_engine.docker("image", "rm", name)

    any_engine.docker("pull", name)

    assert "harness/base" in any_engine.docker("images").stdout


def test_cache_travels_through_the_registry_with_the_containerd_store(engine_28_containerd, registry, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM base\nRUN echo cached > /file\n")
    cache = f"type=registry,ref={registry.address}/harness/cache"
    build = (
        "build",
        "--network=host",
        "--progress=plain",
        "--cache-from",
        cache,
        "--cache-to",
        f"{cache},mode=max",
        ".",
    )
    engine_28_containerd.docker(*build, cwd=tmp_path)

    again = engine_28_containerd.docker(*build, cwd=tmp_path)

    assert "importing cache manifest" in again.stderr
    assert "CACHED" in again.stderr
