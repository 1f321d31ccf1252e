"""One page: the token in its address."""

from app.echo import echo

from django.http import JsonResponse
from django.urls import path

urlpatterns = [path("<str:token>", lambda request, token: JsonResponse(echo(token)))]
