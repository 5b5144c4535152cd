"""Putting a streamed completion back together."""

from __future__ import annotations

from typing import Any

from agentflow.integrations.openai_answer import Answer, AskedCall, mended, thought_of

_HIGH_SURROGATES = ("\ud800", "\udbff")


class StreamedAnswer:
    """Collects the chunks of one completion.

    Attributes:
        whole: What has come so far; complete once it has a `finish_reason`.
    """

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.whole = Answer(text="", refusal="", reasoning="", calls=[], finish_reason=None, usage=None)
        self._held = ""

    def add(self, chunk: Any) -> str:
        """Take in a chunk; gives the text that is ready to be shown."""
        if chunk.usage is not None:
            self.whole.usage = chunk.usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.whole.finish_reason = choice.finish_reason or self.whole.finish_reason
        delta = choice.delta
        if delta is None:
            return ""
        self.whole.refusal += delta.refusal or ""
        self.whole.reasoning += thought_of(delta)
        for piece in delta.tool_calls or ():
            self._add_call(piece)
        self.whole.text += delta.content or ""
        return self._ready(delta.content or "")

    def _add_call(self, piece: Any) -> None:
        call = self._call(piece)
        call.id = piece.id or call.id
        if piece.function is None:
            return
        name = piece.function.name or ""
        # The protocol sends the name once; endpoints that repeat it in every piece mean the same name.
        call.name = call.name if name == call.name else call.name + name
        call.arguments += piece.function.arguments or ""

    def _call(self, piece: Any) -> AskedCall:
        """The call that a piece belongs to: the latest with its index, unless the piece has another id."""
        calls = self.whole.calls
        same = [call for call in calls if piece.index is None or call.index == piece.index]
        if same and (not piece.id or same[-1].id in ("", piece.id)):
            return same[-1]
        calls.append(AskedCall(index=piece.index))
        return calls[-1]

    def _ready(self, text: str) -> str:
        """Hold back half of a character until its other half comes."""
        text = self._held + text
        low, high = _HIGH_SURROGATES
        self._held = text[-1:] if low <= text[-1:] <= high else ""
        return mended(text[: len(text) - len(self._held)])
