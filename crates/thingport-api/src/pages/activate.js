// Sets the first password of a user with the token of the link that led here.
"use strict";
const form = document.getElementById("form");
const answer = document.getElementById("answer");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const activateToken = new URLSearchParams(location.search).get("activateToken");
  const password = document.getElementById("password").value;
  const response = await fetch("/api/noauth/activate", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ activateToken, password }),
  });
  const body = await response.json();
  answer.className = response.ok ? "" : "fault";
  answer.textContent = response.ok ? "Your password is set. You can sign in now." : body.message;
  if (response.ok) form.remove();
});
