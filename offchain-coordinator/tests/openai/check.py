"""Asks a coordinator for pictures with OpenAI's own client. Arguments: URL, API key, model's name.

Run by the test `api::openai::the_official_client_gets_pictures`; see there.
"""

import base64
import sys
import urllib.request

import openai

PNG = b"\x89PNG\r\n\x1a\n"


def size(png):
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def main(url, key, model):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key)

    assert [entry.id for entry in client.models.list()] == [model]
    assert client.models.retrieve(model).object == "model"
    refused(openai.NotFoundError, lambda: client.models.retrieve("gpt-image-1"))

    reply = client.images.generate(prompt="a red apple", model=model, n=2, size="32x16")
    assert len(reply.data) == 2 and reply.created > 0
    for picture in reply.data:
        with urllib.request.urlopen(picture.url) as served:
            png = served.read()
        assert png.startswith(PNG) and size(png) == (32, 16), picture.url

    reply = client.images.generate(
        prompt="a red apple",
        size="auto",
        response_format="b64_json",
        user="somebody",
        extra_body={"seed": 7, "steps": 2},
    )
    png = base64.b64decode(reply.data[0].b64_json)
    assert png.startswith(PNG) and size(png) == (16, 16)

    error = refused(openai.BadRequestError, lambda: client.images.generate(prompt="x", n=9))
    assert (error.param, error.code) == ("n", "ParameterInvalid"), error
    error = refused(
        openai.NotFoundError, lambda: client.images.generate(prompt="x", model="dall-e-3")
    )
    assert error.code == "model_not_found", error
    stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-1")
    error = refused(
        openai.AuthenticationError, lambda: stranger.images.generate(prompt="x")
    )
    assert error.code == "invalid_api_key", error
    print("openai", openai.__version__, "ok")


main(*sys.argv[1:])
