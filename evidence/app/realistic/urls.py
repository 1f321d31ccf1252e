"""Its pages: the admin, and one that asks for a row by the ORM."""

import os

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import JsonResponse
from django.urls import path


def page(request):
    names = list(User.objects.values_list("username", flat=True)[:10])
    return JsonResponse({"process": os.getpid(), "names": names})


urlpatterns = [path("", page), path("admin/", admin.site.urls)]
