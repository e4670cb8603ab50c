"""What made a layer, without what nobody may read."""

from __future__ import annotations

from buildprof.assembly.layer_commands import layer_commands


def test_values_of_arguments_are_in_no_instruction_of_either_builder():
    classic = [
        "|1 PLAIN=hunter2222 /bin/sh -c echo hunter2222",
        "/bin/sh -c #(nop) COPY file:0123456789 in /app/hunter2222 ",
    ]
    assert layer_commands(classic) == ["RUN echo [redacted]", "COPY file in /app/[redacted]"]
    buildkit = ["RUN |1 PLAIN=hunter2222 /bin/sh -c make # buildkit", "COPY f-hunter2222 /app # buildkit"]
    assert layer_commands(buildkit) == ["RUN make", "COPY f-[redacted] /app"]


def test_an_argument_that_only_the_history_tells_is_taken_out_too():
    assert layer_commands(["COPY hunter2222 / # buildkit"], ["ARG TOKEN_LIKE=hunter2222"]) == ["COPY [redacted] /"]


def test_an_argument_that_had_another_value_in_the_base_image_is_taken_out_with_both():
    texts = ["|1 PLAIN=hunter1111 /bin/sh -c make", "|1 PLAIN=hunter2222 /bin/sh -c cp hunter1111 hunter2222"]
    assert layer_commands(texts) == ["RUN make", "RUN cp [redacted] [redacted]"]
